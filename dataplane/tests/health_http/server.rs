//! Debian's nginx in the foreground, and certificates for it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// Longer than nginx takes to start on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

/// The name in the certificates that are for no other.
pub(crate) const HOST: &str = "www.example.com";

/// nginx with nothing of the machine's.
pub(crate) struct Nginx {
    child: Child,
    dir: TempDir,
}

impl Nginx {
    /// `servers` are the blocks of that name. Files are served from [`Self::dir`], which `prepare`
    /// may fill.
    pub(crate) fn start(servers: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{}}\nhttp {{\naccess_log off;\nroot {at};\n{paths}{servers}\n}}\n"
        );
        fs::write(dir.path().join("nginx.conf"), config.replace("DIR", &at.to_string()))
            .expect("a file");
        prepare(dir.path());
        let child = Command::new("/usr/sbin/nginx")
            .args(["-p", &at.to_string(), "-c", "nginx.conf", "-e", "error.log"])
            .spawn()
            .expect("apt-get install nginx-light");
        Self { child, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its address at this port, once it listens there.
    pub(crate) fn at(&mut self, port: u16) -> SocketAddr {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (_never, tick) = mpsc::sync_channel::<()>(0);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().expect("a child");
            let log = || fs::read_to_string(self.dir.path().join("error.log"));
            assert!(ended.is_none() && begun.elapsed() < PATIENT, "{:?}", log());
            let _ = tick.recv_timeout(Duration::from_millis(10));
        }
        address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and certificates of servers by it and by nobody.
pub(crate) fn certificates(dir: &Path) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.distinguished_name.push(DnType::CommonName, "An Authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("signed");
    fs::write(dir.join("authority.pem"), root.pem()).expect("a file");
    let issuer = Issuer::new(authority, authority_key);
    for (file, name, from, until) in [
        ("good", HOST, 2020, 2100),
        ("address", "127.0.0.1", 2020, 2100),
        ("expired", HOST, 2020, 2021),
        ("future", HOST, 2099, 2100),
        ("other", "other.example.com", 2020, 2100),
        ("selfsigned", HOST, 2020, 2100),
    ] {
        let key = KeyPair::generate().expect("a key");
        let mut server = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        server.distinguished_name.push(DnType::CommonName, name);
        server.not_before = date_time_ymd(from, 1, 1);
        server.not_after = date_time_ymd(until, 1, 1);
        let signed = if file == "selfsigned" {
            server.self_signed(&key)
        } else {
            server.signed_by(&key, &issuer)
        };
        fs::write(dir.join(format!("{file}.pem")), signed.expect("signed").pem()).expect("a file");
        fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).expect("a file");
    }
}
