//! The real servers of all cases on one host, and how each is broken and mended.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use leasehold_lab::peers::faulty::{Behaviour, Faulty, Protocol};
use leasehold_lab::peers::nginx::TlsFront;
use leasehold_lab::{Host, LabError, Lan, Result};

use super::case::{Case, Checker, Fault, HTTP, HTTPS, NO_TLS, Way};

const REAL_SERVERS: &str = "10.200.0.0/24";

pub(super) struct Target {
    host: Host,
    servers: Vec<Server>,
    scripts: Scripts,
    _tls: Option<TlsFront>,
    _no_tls: Faulty,
}

struct Server {
    case: Case,
    /// A checker may ask the host itself, or a script.
    faulty: Option<Faulty>,
}

impl Target {
    /// Joins `lan` as its `nth` host, and tells `askers` the way.
    pub(super) fn start(lan: &Lan, nth: u16, cases: &[Case], askers: &[&Host]) -> Result<Target> {
        let host = Host::new("target")?;
        let port = lan.attach(&host, "eth0", nth)?;
        let own = port.v4.ok_or_else(|| LabError::Argument("no IPv4 address".to_owned()))?;
        host.ip(&format!("route replace local {REAL_SERVERS} dev lo"))?;
        for asker in askers {
            asker.ip(&format!("route replace {REAL_SERVERS} via {own}"))?;
        }
        let mut servers = Vec::new();
        for case in cases {
            let at = SocketAddrV4::new(case.address(), case.server_port());
            let start = |protocol| Faulty::start(&host, at, protocol);
            let faulty = case.checker.protocol().map(start).transpose()?;
            servers.push(Server { case: *case, faulty });
        }
        let tls: Vec<Ipv4Addr> = cases
            .iter()
            .filter(|case| case.checker == Checker::Ssl)
            .map(|case| case.address())
            .collect();
        let front = || TlsFront::start(&host, &tls, HTTPS, HTTP);
        let front = (!tls.is_empty()).then(front).transpose()?;
        host.feed("nft", &["-f", "-"], &faults(own))?;
        let no_tls = Faulty::start(&host, SocketAddrV4::new(own, NO_TLS), Protocol::Plain)?;
        Ok(Target { host, servers, scripts: Scripts::new()?, _tls: front, _no_tls: no_tls })
    }

    /// The script of a case: it ends well until it is broken.
    pub(super) fn script(&self, case: Case) -> Result<String> {
        self.scripts.write(case)
    }

    pub(super) fn inflict(&mut self, nth: usize) -> Result<()> {
        let case = self.servers[nth].case;
        match case.way() {
            Way::Behave(behaviour) => self.server(nth)?.behave(behaviour),
            Way::End => self.server(nth)?.stop(),
            Way::Script => self.scripts.set(case, true),
            Way::Filter(set) => self.filter("add", set, case.address()),
        }
    }

    pub(super) fn heal(&mut self, nth: usize) -> Result<()> {
        let case = self.servers[nth].case;
        match case.way() {
            Way::Behave(_) => self.server(nth)?.behave(Behaviour::Well),
            Way::End => self.server(nth)?.start_again(),
            Way::Script => self.scripts.set(case, false),
            Way::Filter(set) => self.filter("delete", set, case.address()),
        }
    }

    fn server(&mut self, nth: usize) -> Result<&mut Faulty> {
        let Server { case, faulty } = &mut self.servers[nth];
        let name = case.checker.name();
        faulty.as_mut().ok_or_else(|| LabError::Argument(format!("{name} asks no server")))
    }

    /// What packets meet on their way.
    fn filter(&self, verb: &str, set: &str, address: Ipv4Addr) -> Result<()> {
        let element = format!("{{ {address} }}");
        let words = [verb, "element", "inet", "faults", set, &element];
        self.host.run("nft", &words).map(drop)
    }
}

fn faults(own: Ipv4Addr) -> String {
    let set = |name: &str| format!("set {name} {{ type ipv4_addr; }}\n");
    format!(
        "table inet faults {{\n{}{}{}chain in {{\n type filter hook input priority 0;\n ip daddr \
         @dropped drop\n ip daddr @refused tcp dport {HTTPS} reject with tcp reset\n}}\nchain \
         before {{\n type nat hook prerouting priority -100;\n ip daddr @no_tls tcp dport \
         {HTTPS} dnat ip to {own}:{NO_TLS}\n}}\n}}\n",
        set("dropped"),
        set("refused"),
        set("no_tls")
    )
}

/// The scripts of MISC_CHECK, and the files by which they are broken. Removed at the end.
struct Scripts(PathBuf);

impl Scripts {
    fn new() -> Result<Scripts> {
        let name = format!("leasehold-removal-{}", std::process::id());
        // Root runs nothing that lies where everyone may write.
        let path = Path::new("/run").join(name);
        fs::create_dir_all(&path).map_err(|error| told(&path, &error))?;
        Ok(Scripts(path))
    }

    fn write(&self, case: Case) -> Result<String> {
        let (script, broken) = (self.0.join(format!("script{}", case.nth)), self.broken(case));
        let what = if case.fault == Fault::Hang { "exec sleep 30" } else { "exit 1" };
        let text = format!("#!/bin/sh\n[ ! -e {} ] || {what}\n", broken.display());
        fs::write(&script, text).map_err(|error| told(&script, &error))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).map_err(|error| told(&script, &error))?;
        Ok(script.display().to_string())
    }

    fn broken(&self, case: Case) -> PathBuf {
        self.0.join(format!("broken{}", case.nth))
    }

    fn set(&self, case: Case, broken: bool) -> Result<()> {
        let path = self.broken(case);
        let set = if broken { fs::write(&path, "") } else { fs::remove_file(&path) };
        set.map_err(|error| told(&path, &error))
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        // A leftover is gone with the next start of the machine.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn told(path: &Path, error: &std::io::Error) -> LabError {
    LabError::Argument(format!("{}: {error}", path.display()))
}
