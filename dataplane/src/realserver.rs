//! Real servers, made and unmade: each change is on disk before it is made, so that whatever was
//! made can be unmade.
//!
//! What it runs is what it prints: `ip`, `modprobe` and writes to `/proc/sys`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use leasehold_dataplane_core::realserver::{
    Done, Memory, Thing, Use, giving_back, is_replayable, leads_to, suffices, things, without_state,
};

/// An operator waits, and nothing else: a machine that stands still for a while fails no command.
const LIMIT: Duration = Duration::from_secs(60);

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
    #[error(
        "the default route {0:?} could not be given back as it is (several ways, or kept by \
         another program): make it a plain one first"
    )]
    Route(String),
    #[error("{0} has the gateway {1}: this machine has one default route (down --vip {0} first)")]
    Gateway(IpAddr, IpAddr),
    #[error("{0}: it is not undone: is another program at it?")]
    NotUndone(String),
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
            if self.memory.note(&thing, &before) {
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
            told.extend(undo(&done)?);
            self.memory.done.retain(|one| one.thing != done.thing);
            self.write()?;
        }
        Ok(told)
    }

    /// What can be known to be wrong before anything is changed.
    fn refuse(&self, vip: IpAddr, of: Use) -> Result<()> {
        for thing in things(vip, of) {
            match &thing {
                Thing::Module { name, interface } if !has_link(interface)? => {
                    // A module that is there brings the interface; one that is not changes nothing.
                    let _ = quietly("modprobe", &["--quiet", name]);
                    if !has_link(interface)? {
                        return Err(RealServerError::NoTunnel(interface.clone(), name.clone()));
                    }
                }
                Thing::Address { address, interface } => {
                    let there = interfaces_with(*address)?;
                    if let Some(other) = there.into_iter().find(|one| one != interface) {
                        return Err(RealServerError::Elsewhere(*address, other));
                    }
                }
                Thing::Gateway(gateway) => {
                    if let Some((vip, other)) = self.memory.other_gateway(vip, *gateway) {
                        return Err(RealServerError::Gateway(vip, other));
                    }
                    let routes = default_routes(*gateway)?;
                    if let Some(route) = routes.lines().find(|route| !is_replayable(route)) {
                        return Err(RealServerError::Route(route.to_owned()));
                    }
                }
                Thing::Module { .. } | Thing::LinkUp(_) | Thing::Sysctl { .. } => {}
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

/// As they could be made again.
fn lasting_routes(like: IpAddr) -> Result<Vec<String>> {
    Ok(default_routes(like)?.lines().map(without_state).collect())
}

/// How it is before it is made so; absent where it is so already.
fn observe(thing: &Thing) -> Result<Option<String>> {
    Ok(match thing {
        Thing::Module { interface, .. } => (!has_link(interface)?).then(String::new),
        Thing::LinkUp(interface) => (!is_up(interface)?).then(String::new),
        Thing::Sysctl { name, value } => {
            let is = read_sysctl(name);
            (!suffices(name, value, &effective(name, &is))).then_some(is)
        }
        Thing::Address { address, interface } => {
            (!interfaces_with(*address)?.contains(interface)).then(String::new)
        }
        Thing::Gateway(gateway) => {
            let routes = lasting_routes(*gateway)?;
            let is_only = routes.len() == 1 && leads_to(&routes[0], *gateway);
            (!is_only).then(|| routes.join("\n"))
        }
    })
}

fn is_up(interface: &str) -> Result<bool> {
    let shown = run("ip", &["-o", "link", "show", "dev", interface])?;
    let flags = shown.split(['<', '>']).nth(1).unwrap_or_default();
    Ok(flags.split(',').any(|flag| flag == "UP"))
}

/// What counts of a setting: for the filter, the kernel takes the maximum of two.
fn effective(name: &str, is: &str) -> String {
    if !name.ends_with(".rp_filter") {
        return is.to_owned();
    }
    is.to_owned().max(read_sysctl("net.ipv4.conf.all.rp_filter"))
}

fn make(thing: &Thing) -> Result<()> {
    // A gateway that can't be reached is refused here, while the old routes are still there.
    run_line(&thing.to_string())?;
    if let Thing::Gateway(gateway) = thing {
        let family = if gateway.is_ipv4() { "-4" } else { "-6" };
        for route in lasting_routes(*gateway)?.iter().filter(|route| !leads_to(route, *gateway)) {
            run_line(&format!("ip {family} route del {route}"))?;
        }
    }
    Ok(())
}

/// Undoes what is still as it was made, and looks whether that is so; what was done, in commands.
fn undo(done: &Done) -> Result<Vec<String>> {
    let (interface, is_theirs) = match &done.thing {
        Thing::Gateway(gateway) => return give_back(*gateway, &done.before),
        // Other tunnels may use it by now.
        Thing::Module { .. } => return Ok(Vec::new()),
        Thing::Sysctl { name, value } => {
            let is = read_sysctl(name);
            let told = format!("# {name} is {is} and was set to {value}: left as it is");
            if is != *value {
                let is_gone = is == done.before || !sysctl_path(name).exists();
                return Ok(if is_gone { Vec::new() } else { vec![told] });
            }
            (None, false)
        }
        Thing::LinkUp(interface) => {
            (Some(interface), has_link(interface)? && has_addresses(interface)?)
        }
        Thing::Address { interface, .. } => (Some(interface), false),
    };
    if let Some(interface) = interface {
        // What was on a device went with it.
        if !has_link(interface)? {
            return Ok(Vec::new());
        }
        if is_theirs {
            return Ok(vec![format!("# {interface} has other addresses: left up")]);
        }
    }
    if observe(&done.thing)?.is_some() {
        return Ok(Vec::new());
    }
    let commands = done.undoing();
    for command in &commands {
        run_line(command)?;
    }
    let is_undone = match &done.thing {
        Thing::Sysctl { name, .. } => read_sysctl(name) == done.before,
        Thing::Module { .. } | Thing::LinkUp(_) | Thing::Address { .. } | Thing::Gateway(_) => {
            observe(&done.thing)?.is_some()
        }
    };
    if is_undone { Ok(commands) } else { Err(RealServerError::NotUndone(commands.join("; "))) }
}

/// Puts the old default routes beside ours, and takes ours away: never without one.
fn give_back(gateway: IpAddr, before: &str) -> Result<Vec<String>> {
    let was_there = |route: &String| before.lines().any(|is| is == route);
    let is_ours = |route: &&String| leads_to(route, gateway) && !was_there(route);
    let routes = lasting_routes(gateway)?;
    let mut told = Vec::new();
    if !routes.iter().any(|route| is_ours(&route)) && !routes.iter().all(was_there) {
        let routes = routes.join("; ");
        return Ok(vec![format!("# {routes}: it does not lead to {gateway}: left as it is")]);
    }
    let back = before.lines().filter(|route| !routes.iter().any(|is| is == route));
    let family = if gateway.is_ipv4() { "-4" } else { "-6" };
    let gone = routes.iter().filter(is_ours).map(|route| format!("ip {family} route del {route}"));
    for command in back.map(|route| giving_back(gateway, route)).chain(gone) {
        run_line(&command)?;
        told.push(command);
    }
    let is = lasting_routes(gateway)?;
    let is_back = before.lines().all(|route| is.iter().any(|is| is == route));
    let is_gone = !is.iter().any(|route| is_ours(&route));
    if is_back && is_gone { Ok(told) } else { Err(RealServerError::NotUndone(told.join("; "))) }
}

fn has_addresses(interface: &str) -> Result<bool> {
    let shown = run("ip", &["-o", "addr", "show", "dev", interface, "scope", "global"])?;
    Ok(!shown.is_empty())
}

fn has_link(interface: &str) -> Result<bool> {
    // Of this network namespace; /sys may show another's.
    let arguments = ["link", "show", "dev", interface];
    let failed = |error: io::Error| {
        RealServerError::Command(format!("ip {}", arguments.join(" ")), error.to_string())
    };
    quietly("ip", &arguments).map_err(failed)
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
    let output = crate::run::run(Command::new(program).args(arguments), "", LIMIT);
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
    let output = crate::run::run(Command::new(program).args(arguments), "", LIMIT)?;
    Ok(output.status.success())
}
