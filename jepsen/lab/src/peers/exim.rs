//! Debian's exim as a real mail server. It greets in two lines, and turns away who says HELO as
//! `bad.example.com`.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{User, chown};

use crate::owner::{Owner, next_number};
use crate::{Host, LabError, Process, Program, Result, until};

const PORT: u16 = 25;
/// Whom it runs as once it listens: its directory must be this user's.
const USER: &str = "Debian-exim";
const START_LIMIT: Duration = Duration::from_secs(20);

/// A mail server on port 25 of a host. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Exim {
    process: Process,
    directory: PathBuf,
}

impl Exim {
    /// Returns when it accepts connections.
    pub fn start(host: &Host) -> Result<Exim> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        let file = directory.join("exim.conf");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&file, config(&directory)))
            .map_err(LabError::system(file.display().to_string()))?;
        let user = User::from_name(USER).ok().flatten();
        let user = user.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound));
        let user = user.map_err(LabError::system(format!("user {USER}: install exim4")))?;
        chown(&directory, Some(user.uid), Some(user.gid))
            .map_err(std::io::Error::from)
            .map_err(LabError::system(directory.display().to_string()))?;
        let process = Program::new(&format!("exim in {}", host.label()), "exim4")
            .arg("-bdf")
            .arg("-C")
            .arg(&file)
            .arg("-oP")
            .arg(directory.join("pid"))
            .start(host)?;
        let exim = Exim { process, directory };
        until("exim accepts connections", START_LIMIT, || {
            let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_ok();
            host.enter(connect).is_ok_and(|well| well).then_some(())
        })?;
        Ok(exim)
    }

    /// Its processes.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// It looks nothing up, so that a host without a resolver answers at once.
fn config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "primary_hostname = mx.example.com\nspool_directory = {directory}\n\
         log_file_path = {directory}/%slog\ndaemon_smtp_ports = {PORT}\ntls_advertise_hosts =\n\
         host_lookup =\nrfc1413_hosts =\nkeep_environment =\n\
         smtp_banner = mx.example.com ESMTP\\nready\nacl_smtp_helo = helo\nbegin acl\nhelo:\n  \
         deny message = not you\n       \
         condition = ${{if eq{{$sender_helo_name}}{{bad.example.com}}}}\n  accept\n"
    )
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.process.kill_tree();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
