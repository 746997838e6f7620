//! Debian's nsd as a real name server: it has one zone, and refuses every other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::owner::{Owner, next_number};
use crate::{Host, LabError, Process, Program, Result};

const START_LIMIT: Duration = Duration::from_secs(20);

/// The zone, for each type that a check can ask for. `big` fits no datagram.
const ZONE: &str = "$ORIGIN example.com.\n$TTL 60\n@ SOA ns1 admin 1 3600 600 86400 60\n\
    @ NS ns1\n@ MX 10 mx\n@ TXT \"a text\"\nns1 A 192.0.2.1\nwww A 192.0.2.2\n\
    www AAAA 2001:db8::2\nweb CNAME www\nmx A 192.0.2.3\n";

/// A name server on port 53 of a host. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Nsd {
    process: Process,
    directory: PathBuf,
}

impl Nsd {
    /// Returns when it answers for `example.com`.
    pub fn start(host: &Host) -> Result<Nsd> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        let file = directory.join("nsd.conf");
        let text = "0123456789".repeat(20);
        let big: String = (0..9).map(|nth| format!("big TXT \"{nth}{text}\"\n")).collect();
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(directory.join("zone"), format!("{ZONE}{big}")))
            .and_then(|()| fs::write(&file, config(&directory)))
            .map_err(LabError::system(file.display().to_string()))?;
        let process = Program::new(&format!("nsd in {}", host.label()), "nsd")
            .arg("-d")
            .arg("-c")
            .arg(&file)
            .start(host)?;
        let nsd = Nsd { process, directory };
        nsd.process.wait_for_line("nsd started", START_LIMIT)?;
        Ok(nsd)
    }

    /// Its processes.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// As root, and with every file in its own directory.
fn config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "server:\n  ip-address: 0.0.0.0\n  ip-address: ::0\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{directory}\"\n  database: \"\"\n  pidfile: \"\"\n  \
         xfrdfile: \"{directory}/xfrd.state\"\n  xfrdir: \"{directory}\"\n  \
         zonelistfile: \"{directory}/zone.list\"\n  server-count: 1\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: \"example.com\"\n  zonefile: \"zone\"\n"
    )
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _ = self.process.kill_tree();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
