//! Debian's nginx as a real server: it says its name, and has something long to download.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::owner::{Owner, next_number};
use crate::{Host, LabError, Process, Program, Result};

/// What a download takes: a megabyte at 64 KiB a second.
const BIG: usize = 1 << 20;
const RATE: &str = "64k";

/// A web server on port 80 of a host. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    directory: PathBuf,
}

impl Nginx {
    /// `GET /` answers the host's label, `GET /big` a megabyte, slowly.
    pub fn start(host: &Host) -> Result<Nginx> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        let file = directory.join("nginx.conf");
        fs::create_dir_all(directory.join("logs"))
            .and_then(|()| fs::write(directory.join("index.html"), host.label()))
            .and_then(|()| fs::write(directory.join("big"), vec![b'x'; BIG]))
            .and_then(|()| fs::write(&file, config(&directory.display().to_string())))
            .map_err(LabError::system(file.display().to_string()))?;
        let process = Program::new(&format!("nginx in {}", host.label()), "nginx")
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(&file)
            .start(host)?;
        Ok(Nginx { process, directory })
    }

    /// Its processes.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// TLS before what is plain, with a certificate of its own making. Dropping it ends it.
#[derive(Debug)]
pub struct TlsFront {
    process: Process,
    directory: PathBuf,
}

impl TlsFront {
    /// Each address of `host` takes TLS on one port, and passes on what is said to its other.
    pub fn start(host: &Host, addresses: &[Ipv4Addr], tls: u16, plain: u16) -> Result<TlsFront> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        let root = directory.display().to_string();
        fs::create_dir_all(&directory).map_err(LabError::system(root.clone()))?;
        let (key, certificate) = (format!("{root}/key"), format!("{root}/certificate"));
        let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj"];
        let files = ["/CN=lab", "-keyout", &key, "-out", &certificate];
        host.run("openssl", &[&made[..], &files].concat())?;
        let one = |address: &Ipv4Addr| {
            format!(
                "    server {{\n        listen {address}:{tls} ssl;\n        \
                 ssl_certificate {certificate};\n        ssl_certificate_key {key};\n        \
                 location / {{ proxy_pass http://{address}:{plain}; proxy_buffering off; }}\n    \
                 }}\n"
            )
        };
        let servers: String = addresses.iter().map(one).collect();
        let file = directory.join("nginx.conf");
        fs::write(&file, around(&root, &servers))
            .map_err(LabError::system(file.display().to_string()))?;
        let process = Program::new(&format!("TLS in {}", host.label()), "nginx")
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(&file)
            .start(host)?;
        Ok(TlsFront { process, directory })
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = self.process.kill_tree();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn config(directory: &str) -> String {
    let server = format!(
        "    server {{\n        listen 80;\n        listen [::]:80;\n        root {directory};\n        \
         location /big {{ limit_rate {RATE}; }}\n    }}\n"
    );
    around(directory, &server)
}

/// As root: the directory may be nobody else's to read.
fn around(directory: &str, servers: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {directory}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n    access_log off;\n    default_type text/plain;\n    \
         client_body_temp_path {directory}/logs;\n    proxy_temp_path {directory}/logs;\n    \
         fastcgi_temp_path {directory}/logs;\n    uwsgi_temp_path {directory}/logs;\n    \
         scgi_temp_path {directory}/logs;\n{servers}}}\n"
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill_tree();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
