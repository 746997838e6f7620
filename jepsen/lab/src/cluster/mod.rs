//! A cluster of the product under test, one host each, driven by its command line alone.

mod errand;
mod fault;
mod pair;
mod power;
mod rejoin;
mod trial;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::disk::{Disk, Make};
use crate::owner::{Owner, next_number};
use crate::wall_clock::WallClock;
use crate::{Host, LabError, Lan, PinDir, Port, Process, Program, Result, until};

pub use errand::{Desk, Errand};
pub use fault::Fault;
pub use pair::{Pair, Router};
pub use trial::{Trial, try_fault};

/// What is said by default, and every grant.
const LOGGED: &str = "info,openraft=off,leasehold::grants=debug";

/// Elections, a join and a first lease all fit in this many times over.
pub const SOON: Duration = Duration::from_secs(20);

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan {
    pub binary: PathBuf,
    pub directors: usize,
    pub witness: bool,
    /// default, fast, wan or lifetime.
    pub profile: &'static str,
    /// Of the service, and of all traffic.
    pub subnet: &'static str,
    pub subnet6: Option<&'static str>,
    /// What every director calls its interface to the service.
    pub interface: &'static str,
    /// For `run`, beyond the data directory.
    pub run: Vec<&'static str>,
    /// Where each start of a daemon leaves what it printed.
    pub logs: Option<PathBuf>,
    /// A file system of its own for each data directory, of so many MiB.
    pub disk: Option<(Make, u64)>,
    /// A time of day of its own for each member.
    pub wall_clocks: bool,
}

impl Plan {
    /// Three directors.
    pub fn new(binary: PathBuf) -> Plan {
        Plan {
            binary,
            directors: 3,
            witness: false,
            profile: "default",
            subnet: "192.168.1.0/24",
            subnet6: None,
            interface: "eth0",
            run: Vec::new(),
            logs: None,
            disk: None,
            wall_clocks: false,
        }
    }
}

/// One member.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub host: Host,
    pub port: Port,
    pub data_dir: PathBuf,
    daemon: Option<Process>,
    starts: usize,
    _pins: Option<PinDir>,
    disk: Option<Disk>,
    wall_clock: Option<WallClock>,
}

impl Node {
    /// What its daemon takes for the time of day, where the plan gave it one of its own.
    pub fn wall_clock(&self) -> Option<&WallClock> {
        self.wall_clock.as_ref()
    }

    /// What its data directory lies on, where the plan gave it a disk of its own.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }
}

/// The members, and a client that is none, on one bridge. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    directory: PathBuf,
    interface: &'static str,
    run: Vec<&'static str>,
    logs: Option<PathBuf>,
    disk: Option<(Make, u64)>,
    wall_clocks: bool,
    nodes: Vec<Node>,
    /// Whose daemons these are, where they are not the product's.
    pair: Option<Pair>,
    pub client: Host,
    pub lan: Lan,
}

impl Cluster {
    /// Founds a cluster, lets the others join, and waits until all vote.
    pub fn start(plan: &Plan) -> Result<Cluster> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory)
            .map_err(LabError::system(directory.display().to_string()))?;
        let lan = Lan::new("service", plan.subnet, plan.subnet6)?;
        let client = Host::new("client")?;
        lan.attach(&client, "eth0", 50)?;
        let mut cluster = Cluster {
            binary: plan.binary.clone(),
            directory,
            interface: plan.interface,
            run: plan.run.clone(),
            logs: plan.logs.clone(),
            disk: plan.disk,
            wall_clocks: plan.wall_clocks,
            nodes: Vec::new(),
            pair: None,
            client,
            lan,
        };
        for nth in 1..=plan.directors {
            cluster.add(&format!("ds{nth}"), "director", plan.profile)?;
        }
        if plan.witness {
            cluster.add("w1", "witness", plan.profile)?;
        }
        cluster.wait_for_voters()?;
        Ok(cluster)
    }

    /// Adds a member: the first founds the cluster, each other joins by way of the first.
    pub fn add(&mut self, name: &str, role: &str, profile: &str) -> Result<usize> {
        let index = self.nodes.len();
        let host = Host::new(name)?;
        let nth = u16::try_from(index + 1).map_err(|_| LabError::Argument("too many".into()))?;
        let port = self.lan.attach(&host, self.interface, nth)?;
        let address = port.v4.ok_or_else(|| LabError::Argument("no IPv4 address".into()))?;
        let listen = format!("{address}:7400");
        let disk = self.disk.map(|(make, mib)| Disk::make(make, self.directory.join(name), mib));
        let disk = disk.transpose()?;
        // A new file system has a directory of its own making in it already.
        let data_dir = self.directory.join(name);
        let data_dir = if disk.is_some() { data_dir.join("data") } else { data_dir };
        let wall_clock = self.wall_clocks.then(|| WallClock::make(&self.directory, name));
        let wall_clock = wall_clock.transpose()?;
        let (name, daemon) = (name.to_owned(), None);
        let node =
            Node { name, host, port, data_dir, daemon, starts: 0, _pins: None, disk, wall_clock };
        self.nodes.push(node);
        let name = self.nodes[index].name.clone();
        let name = name.as_str();
        if index == 0 {
            self.cli(0, &["init", "--name", name, "--listen", &listen, "--profile", profile])?;
        } else {
            let peer = self.peer_address(0)?;
            let token = self.cli(0, &["token", "create", "--role", role])?;
            let token = token.trim();
            self.cli(
                index,
                &["join", "--name", name, "--listen", &listen, "--token", token, &peer],
            )?;
        }
        self.nodes[index]._pins = Some(PinDir::new(self.pin_dir(index)?)?);
        self.run(index)?;
        Ok(index)
    }

    /// Starts the daemon of a member whose daemon is down, and waits until it answers.
    pub fn run(&mut self, index: usize) -> Result<()> {
        let words = self.run.clone();
        self.run_with(index, &words)
    }

    /// As [`run`](Self::run), with other words than the plan's.
    pub fn run_with(&mut self, index: usize, words: &[&str]) -> Result<()> {
        self.launch(index, words)?;
        self.wait_for(&format!("the daemon of {} to answer", self.nodes[index].name), |this| {
            this.status(index).map(drop)
        })
    }

    /// The same, and does not wait for anything.
    pub fn launch(&mut self, index: usize, words: &[&str]) -> Result<()> {
        let node = &mut self.nodes[index];
        node.starts += 1;
        let program = Program::new(&node.name, &self.binary);
        let mut program = match &self.pair {
            None => program.arg("--data-dir").arg(&node.data_dir).arg("run").args(words),
            Some(_) => pair::words(program, &node.data_dir),
        };
        if let Some(clock) = &node.wall_clock {
            program = clock.on(program);
        }
        if let Some(logs) = &self.logs {
            program = program.env("RUST_LOG", LOGGED);
            program = program.log_to(logs.join(format!("{}.{:03}.log", node.name, node.starts)));
        }
        node.daemon = Some(program.start(&node.host)?);
        Ok(())
    }

    /// As the plan has it, without waiting.
    pub fn launch_again(&mut self, index: usize) -> Result<()> {
        let words = self.run.clone();
        self.launch(index, &words)
    }

    /// Runs a command of one member's; its output, or the line with which it failed.
    pub fn cli(&self, index: usize, words: &[&str]) -> Result<String> {
        let node = &self.nodes[index];
        let binary = self.binary.display().to_string();
        let data_dir = node.data_dir.display().to_string();
        let mut arguments = vec!["--data-dir", data_dir.as_str()];
        arguments.extend(words);
        node.host.run(&binary, &arguments)
    }

    /// Replaces the configuration by this text, of a file that ends in `.toml` or `.conf`.
    pub fn apply(&self, ending: &str, text: &str) -> Result<String> {
        self.apply_with(ending, text, &[])
    }

    /// The same with other words after the file.
    pub fn apply_with(&self, ending: &str, text: &str, words: &[&str]) -> Result<String> {
        let file = self.directory.join(format!("applied.{ending}"));
        fs::write(&file, text).map_err(LabError::system(file.display().to_string()))?;
        let index = self.any_up()?;
        let file = file.display().to_string();
        self.cli(index, &[&["apply", file.as_str()], words].concat())
    }

    /// What one member says of the cluster, if its daemon answers.
    pub fn status(&self, index: usize) -> Option<Value> {
        let text = self.cli(index, &["status", "--json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn daemon(&self, index: usize) -> Result<&Process> {
        let node = &self.nodes[index];
        let down = || LabError::Argument(format!("the daemon of {} is down", node.name));
        node.daemon.as_ref().ok_or_else(down)
    }

    /// Forgets a daemon that has ended, so that another can be started.
    pub fn mark_down(&mut self, index: usize) {
        self.nodes[index].daemon = None;
    }

    pub fn is_up(&self, index: usize) -> bool {
        self.nodes[index].daemon.as_ref().is_some_and(|daemon| daemon.ended().is_none())
    }

    pub fn any_up(&self) -> Result<usize> {
        (0..self.nodes.len())
            .find(|index| self.is_up(*index))
            .ok_or_else(|| LabError::Argument("every daemon is down".to_owned()))
    }

    /// What one member that is up says of an instance: its epoch, why it was granted, ...
    pub fn instance(&self, instance: &str) -> Option<Value> {
        let status = self.status(self.any_up().ok()?)?;
        status["instances"].as_array()?.iter().find(|one| one["name"] == instance).cloned()
    }

    /// Who holds the instance, as most members' logs have it.
    pub fn holder(&self, instance: &str) -> Option<usize> {
        let name = self.agreed(|status| {
            let all = status["instances"].as_array()?;
            let one = all.iter().find(|one| one["name"] == instance)?;
            Some(one["holder"].as_str()?.to_owned())
        })?;
        self.nodes.iter().position(|node| node.name == name)
    }

    pub fn leader(&self) -> Option<usize> {
        let name = self.agreed(|status| Some(status["cluster"]["leader"].as_str()?.to_owned()))?;
        self.nodes.iter().position(|node| node.name == name)
    }

    /// What every member whose daemon is up says alike.
    fn agreed(&self, look: impl Fn(&Value) -> Option<String>) -> Option<String> {
        let up = (0..self.nodes.len()).filter(|index| self.is_up(*index));
        let mut said = up.map(|index| look(&self.status(index)?));
        let first = said.next()??;
        said.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// Waits until every member votes, and is heard by the leader that all agree on.
    pub fn wait_for_voters(&self) -> Result<()> {
        self.wait_for("every member to vote and to be heard", |this| {
            let status = this.status(this.leader()?)?;
            let nodes = status["nodes"].as_array()?;
            let well = nodes.iter().filter(|node| {
                node["voter"] == true && (node["state"] == "up" || node["state"] == "drained")
            });
            (well.count() == this.nodes.len()).then_some(())
        })
    }

    /// Waits until all agree on a holder of the instance.
    pub fn wait_for_holder(&self, instance: &str) -> Result<usize> {
        self.wait_for(&format!("a holder of {instance}"), |this| this.holder(instance))
    }

    pub fn wait_for<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> Result<T> {
        self.wait_longer_for(what, SOON, || look(self))
    }

    /// The same with another limit.
    pub fn wait_longer_for<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        until(what, limit, look).map_err(|error| self.told("waiting", error))
    }

    /// What went wrong, with what the daemons had to say.
    fn told(&self, during: &str, error: LabError) -> LabError {
        let mut text = format!("{during}: {error}");
        for node in &self.nodes {
            let lines = node.daemon.as_ref().map(Process::output).unwrap_or_default();
            let tail = lines.iter().rev().take(20).rev().map(|line| format!("\n    {line}"));
            text.push_str(&format!("\n  {}:{}", node.name, tail.collect::<String>()));
        }
        LabError::Argument(text)
    }

    /// host:port of a member.
    pub fn peer_address(&self, index: usize) -> Result<String> {
        let settings = self.settings(index)?;
        let listen = settings["listen"].as_str();
        listen.map(str::to_owned).ok_or_else(|| LabError::Argument("no listen address".to_owned()))
    }

    fn settings(&self, index: usize) -> Result<Value> {
        let file = self.nodes[index].data_dir.join("node.json");
        let text =
            fs::read_to_string(&file).map_err(LabError::system(file.display().to_string()))?;
        serde_json::from_str(&text).map_err(|error| LabError::Argument(error.to_string()))
    }

    /// Where a member's fence is pinned, if it has one.
    pub fn pin_dir(&self, index: usize) -> Result<PathBuf> {
        let settings = self.settings(index)?;
        let cluster = settings["cluster"].as_str().unwrap_or_default().to_owned();
        let node = settings["node"].as_u64().unwrap_or_default();
        Ok(Path::new("/sys/fs/bpf/leasehold").join(format!("{cluster}-{node}")))
    }

    /// Which member has this hardware address.
    pub fn named(&self, mac: crate::Mac) -> String {
        let found = self.nodes.iter().find(|node| node.port.mac == mac);
        found.map_or_else(|| mac.to_string(), |node| node.name.clone())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Some(daemon) = &node.daemon {
                // What can't be ended here is swept up by the next run.
                daemon.thaw_tree();
                let _ = daemon.kill_tree();
            }
        }
        // Mounts go before what they are mounted on.
        self.nodes.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A configuration of one instance with these VIPs, every director alike.
pub fn instance(name: &str, vrid: u8, vips: &[IpAddr]) -> String {
    let vips: Vec<String> = vips.iter().map(|vip| format!("\"{vip}/24\"")).collect();
    format!(
        "[instance.{name}]\nvirtual_router_id = {vrid}\ninterface = \"eth0\"\npriority = 100\n\
         virtual_ipaddress = [{}]\n",
        vips.join(", ")
    )
}
