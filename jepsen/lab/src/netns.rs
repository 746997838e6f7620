//! A host: a network namespace that lives as long as somebody holds it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Once};

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::owner::{Owner, next_number};
use crate::{LabError, Result, sweep};

/// Where `ip netns` keeps its names.
pub(crate) const NAMES: &str = "/run/netns";

/// What every namespace of a lab is called by.
pub(crate) const PREFIX: &str = "lh-";

/// A host of the testbed. Clones share it; the namespace goes with the last of them.
#[derive(Clone, Debug)]
pub struct Host(Arc<Namespace>);

#[derive(Debug)]
struct Namespace {
    label: String,
    name: String,
}

impl Host {
    /// Makes a namespace with its loopback up. What earlier, dead test processes left is removed
    /// first.
    pub fn new(label: &str) -> Result<Host> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::Argument(
                "network namespaces need root: run the tests as root, or under sudo".to_owned(),
            ));
        }
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            let _leftovers_do_not_stop_a_new_lab = sweep();
        });
        let name = format!("{PREFIX}{}-{}-{label}", Owner::this().tag(), next_number());
        run("ip", &["netns", "add", &name])?;
        let host = Host(Arc::new(Namespace { label: label.to_owned(), name }));
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// The name it was given.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// The namespace's name, as `ip -n` takes it.
    pub fn namespace(&self) -> &str {
        &self.0.name
    }

    /// The namespace's file, as `nsenter --net=` takes it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(NAMES).join(&self.0.name)
    }

    /// Runs one `ip` command, given as its words after `ip`.
    pub fn ip(&self, words: &str) -> Result<String> {
        let mut arguments = vec!["-n", self.namespace()];
        arguments.extend(words.split_ascii_whitespace());
        run("ip", &arguments)
    }

    /// Runs many `ip` commands in one process: a thousand addresses cost one start.
    pub fn ip_batch(&self, lines: &[String]) -> Result<String> {
        feed("ip", &["-n", self.namespace(), "-batch", "-"], &lines.join("\n"))
    }

    /// Adds an address, for IPv6 without duplicate address detection.
    pub fn add_address(&self, interface: &str, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {interface} {nodad}")).map(drop)
    }

    /// Sets a sysctl of this host, such as `net.ipv4.conf.all.arp_ignore`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let value = value.to_owned();
        self.enter(move || std::fs::write(&path, value).map_err(LabError::system(path)))?
    }

    /// Runs a program to its end in this host and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let network = format!("--net={}", self.path().display());
        let mut all = vec![network.as_str(), "--", program];
        all.extend_from_slice(arguments);
        run("nsenter", &all)
    }

    /// Runs a program in this host with `input` on its standard input.
    pub fn feed(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let network = format!("--net={}", self.path().display());
        let mut all = vec![network.as_str(), "--", program];
        all.extend_from_slice(arguments);
        feed("nsenter", &all, input)
    }

    /// Runs `work` on a thread of its own inside this host: sockets it opens belong to the host.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.move_this_thread()?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread, for good, into this host.
    pub(crate) fn move_this_thread(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path).map_err(LabError::system(path.display().to_string()))?;
        setns(file, CloneFlags::CLONE_NEWNET)
            .map_err(LabError::errno(format!("entering {}", path.display())))
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Host) -> bool {
        self.namespace() == other.namespace()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove_namespace(&self.name);
    }
}

/// Removes a namespace's name; its interfaces go with the last process in it.
pub(crate) fn remove_namespace(name: &str) {
    let path = PathBuf::from(NAMES).join(name);
    end_leftovers(&path);
    // Both fail only if somebody else was faster.
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    let _ = std::fs::remove_file(&path);
}

/// Ends whoever is in it still: what a daemon had started that was killed itself.
fn end_leftovers(path: &Path) {
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let Some(namespace) = identity(path) else { return };
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let own = i32::try_from(std::process::id()).ok();
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| Some(*pid) != own) else { continue };
        if identity(&process.path().join("ns/net")) == Some(namespace) {
            // It may have ended by itself meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Runs a program to its end and returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    finish(program, arguments, output)
}

/// The same with `input` on its standard input.
pub(crate) fn feed(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let output = child.and_then(|mut child| {
        let mut stdin = child.stdin.take().expect("standard input was asked to be a pipe");
        let written = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output()?;
        // A program that refuses early breaks the pipe; its own words say why.
        if output.status.success() { written.map(|()| output) } else { Ok(output) }
    });
    finish(program, arguments, output)
}

fn finish(program: &str, arguments: &[&str], output: std::io::Result<Output>) -> Result<String> {
    let command = || format!("{program} {}", arguments.join(" "));
    let output = output.map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let install = "apt-get install iproute2 nftables util-linux keepalived".to_owned();
            LabError::Missing { program: program.to_owned(), install }
        } else {
            LabError::System { what: command(), source }
        }
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Command { command: command(), stderr })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::time::Duration;

    use super::*;
    use crate::until;

    #[test]
    fn who_is_left_in_a_host_ends_with_it() -> Result<()> {
        let host = Host::new("left")?;
        let path = host.path();
        let mut left = host.enter(|| {
            // Of a session of its own, as what a daemon starts is.
            Command::new("/usr/bin/sleep").arg("60").process_group(0).spawn()
        })?;
        let left = left.as_mut().expect("it starts");
        drop(host);
        let ended = until("it to end", Duration::from_secs(10), || left.try_wait().ok()?)?;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        assert!(!path.exists());
        Ok(())
    }
}
