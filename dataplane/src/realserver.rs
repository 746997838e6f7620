//! Real servers, made and unmade: each change is on disk before it is made, so that whatever was
//! made can be unmade.
//!
//! What it runs is what it prints: `ip`, `modprobe` and writes to `/proc/sys`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leasehold_dataplane_core::realserver::{Done, Memory, Thing, Use, things};

#[derive(Debug, thiserror::Error)]
pub enum RealServerError {
    #[error("{0}: {1}")]
    State(String, #[source] io::Error),
    #[error("{0}: {1}: move it away, and undo by hand what it says was done")]
    Unreadable(String, #[source] serde_json::Error),
    #[error("{0} is on {1} already: take it off there first (ip addr del {0} dev {1})")]
    Elsewhere(IpAddr, String),
    #[error("this kernel has no {0}: it takes the module {1}")]
    NoTunnel(String, String),
    #[error("{0}: {1}")]
    Command(String, String),
    #[error("{0} is missing: apt-get install {1}")]
    Program(&'static str, &'static str),
}

type Result<T> = std::result::Result<T, RealServerError>;

/// This machine's memory of what was made, under a lock.
#[derive(Debug)]
pub struct RealServers {
    path: PathBuf,
    memory: Memory,
    _lock: File,
}

impl RealServers {
    /// Waits for another run to end, and reads what was remembered in `directory`.
    ///
    /// # Errors
    /// Where it can't be locked or read.
    pub fn open(directory: &Path) -> Result<Self> {
        let failed = |error| RealServerError::State(directory.display().to_string(), error);
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = File::create(directory.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let path = directory.join("realserver.json");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let fresh = Memory { boot: boot.trim().to_owned(), ..Memory::default() };
        let memory = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| RealServerError::Unreadable(path.display().to_string(), error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => return Err(failed(error)),
        };
        // Another boot's kernel has nothing of what was made.
        let memory = if memory.boot == fresh.boot { memory } else { fresh };
        Ok(Self { path, memory, _lock: lock })
    }

    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Makes this machine a real server of `vip`; what was done, in commands.
    ///
    /// # Errors
    /// Where it can't be: nothing is changed where that can be known before.
    pub fn up(&mut self, vip: IpAddr, of: Use) -> Result<Vec<String>> {
        self.refuse(vip, of)?;
        if self.memory.vips.insert(vip, of) != Some(of) {
            self.write()?;
        }
        let mut told = Vec::new();
        for thing in things(vip, of) {
            let before = observe(&thing)?;
            let Some(before) = before else { continue };
            if !self.memory.remembers(&thing) {
                self.memory.done.push(Done { thing: thing.clone(), before });
                self.write()?;
            }
            make(&thing)?;
            told.push(thing.to_string());
        }
        Ok(told)
    }

    /// Undoes what was done for `vip` and no other VIP needs; what was done, in commands, and
    /// what was left because another's hand changed it.
    ///
    /// # Errors
    /// Where something can't be undone. Another try goes on from there.
    pub fn down(&mut self, vip: IpAddr) -> Result<Vec<String>> {
        if self.memory.vips.remove(&vip).is_some() {
            self.write()?;
        }
        let mut told = Vec::new();
        for done in self.memory.superfluous() {
            if let Thing::LinkUp(interface) = &done.thing
                && !run("ip", &["-o", "addr", "show", "dev", interface, "scope", "global"])?
                    .is_empty()
            {
                told.push(format!("# {interface} has other addresses: left up"));
            // Only what is as it was made is ours to unmake.
            } else if observe(&done.thing)?.is_none() {
                for command in done.undoing() {
                    run_line(&command)?;
                    told.push(command);
                }
            } else if let Thing::Sysctl { name, value } = &done.thing {
                let is = read_sysctl(name);
                if is != done.before {
                    told.push(format!("# {name} is {is} and was set to {value}: left as it is"));
                }
            }
            self.memory.done.retain(|one| one.thing != done.thing);
            self.write()?;
        }
        Ok(told)
    }

    /// What can be known to be wrong before anything is changed.
    fn refuse(&self, vip: IpAddr, of: Use) -> Result<()> {
        for thing in things(vip, of) {
            match &thing {
                Thing::Module { name, interface } if !has_link(interface) => {
                    // A module that is there brings the interface; one that is not changes nothing.
                    let _ = quietly("modprobe", &["--quiet", name]);
                    if !has_link(interface) {
                        return Err(RealServerError::NoTunnel(interface.clone(), name.clone()));
                    }
                }
                Thing::Address { address, interface } => {
                    let there = interfaces_with(*address)?;
                    if let Some(other) = there.into_iter().find(|one| one != interface) {
                        return Err(RealServerError::Elsewhere(*address, other));
                    }
                }
                Thing::Module { .. }
                | Thing::LinkUp(_)
                | Thing::Sysctl { .. }
                | Thing::Gateway(_) => {}
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let failed = |error| RealServerError::State(self.path.display().to_string(), error);
        let text = serde_json::to_vec_pretty(&self.memory)
            .map_err(|error| RealServerError::Unreadable(self.path.display().to_string(), error))?;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&new, &self.path).map_err(failed)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory).and_then(|one| one.sync_all()).map_err(failed)
    }
}

/// Where this machine's default routes lead, a line each.
///
/// # Errors
/// Where `ip` can't be run.
pub fn default_routes(like: IpAddr) -> Result<String> {
    let family = if like.is_ipv4() { "-4" } else { "-6" };
    let text = run("ip", &[family, "route", "show", "default"])?;
    Ok(text.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
}

/// How it is before it is made so; absent where it is so already.
fn observe(thing: &Thing) -> Result<Option<String>> {
    Ok(match thing {
        Thing::Module { interface, .. } => (!has_link(interface)).then(String::new),
        Thing::LinkUp(interface) => {
            let shown = run("ip", &["-o", "link", "show", "dev", interface])?;
            let flags = shown.split(['<', '>']).nth(1).unwrap_or_default();
            (!flags.split(',').any(|flag| flag == "UP")).then(String::new)
        }
        Thing::Sysctl { name, value } => {
            let is = read_sysctl(name);
            (is != *value).then_some(is)
        }
        Thing::Address { address, interface } => {
            (!interfaces_with(*address)?.contains(interface)).then(String::new)
        }
        Thing::Gateway(gateway) => {
            let routes = default_routes(*gateway)?;
            let wanted = format!("default via {gateway} ");
            let only = routes.lines().count() == 1 && format!("{routes} ").starts_with(&wanted);
            (!only).then_some(routes)
        }
    })
}

fn make(thing: &Thing) -> Result<()> {
    // A gateway that can't be reached is refused here, while the old routes are still there.
    run_line(&thing.to_string())?;
    if let Thing::Gateway(gateway) = thing {
        let family = if gateway.is_ipv4() { "-4" } else { "-6" };
        let ours = format!("default via {gateway} ");
        let routes = default_routes(*gateway)?;
        for route in routes.lines().filter(|route| !format!("{route} ").starts_with(&ours)) {
            run_line(&format!("ip {family} route del {route}"))?;
        }
    }
    Ok(())
}

fn has_link(interface: &str) -> bool {
    // Of this network namespace; /sys may show another's.
    quietly("ip", &["link", "show", "dev", interface]).is_ok_and(|found| found)
}

/// The interfaces that have the address.
fn interfaces_with(address: IpAddr) -> Result<Vec<String>> {
    let text = run("ip", &["-o", "addr", "show"])?;
    let has = |line: &str| {
        let mut words = line.split_whitespace();
        let interface = words.nth(1)?;
        let is = words.nth(1)?.split('/').next()?.parse::<IpAddr>().ok()?;
        (is == address).then(|| interface.to_owned())
    };
    Ok(text.lines().filter_map(has).collect())
}

fn sysctl_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

fn read_sysctl(name: &str) -> String {
    fs::read_to_string(sysctl_path(name)).unwrap_or_default().trim().to_owned()
}

/// One command as it is printed.
fn run_line(line: &str) -> Result<()> {
    if let Some((name, value)) = line.strip_prefix("sysctl -w ").and_then(|s| s.split_once('=')) {
        let failed =
            |error: io::Error| RealServerError::Command(line.to_owned(), error.to_string());
        return fs::write(sysctl_path(name), value).map_err(failed);
    }
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    run(program, &words.collect::<Vec<_>>()).map(drop)
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let line = || format!("{program} {}", arguments.join(" "));
    let output = output.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return match program {
                "modprobe" => RealServerError::Program("modprobe", "kmod"),
                _ => RealServerError::Program("ip", "iproute2"),
            };
        }
        RealServerError::Command(line(), error.to_string())
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(RealServerError::Command(line(), said.lines().next().unwrap_or("failed").to_owned()))
}

/// Whether it succeeds; what it says is not wanted.
fn quietly(program: &str, arguments: &[&str]) -> io::Result<bool> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}
