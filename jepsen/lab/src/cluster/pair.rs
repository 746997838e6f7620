//! A pair of Debian's keepalived in place of the product: the same hosts, network and faults.
//!
//! Set up as its manual has it: two instances, each preferred on the other router, adverts by
//! multicast, and the pid files in one place over all starts. Its service has no restart of its
//! own, so whoever kills it starts it again.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Cluster, Node};
use crate::owner::{Owner, next_number};
use crate::{Host, LabError, Lan, Program, Result};

const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// What both routers are told.
#[derive(Clone, Debug)]
pub struct Pair {
    /// 2 or 3.
    pub version: u8,
    /// The advert interval in seconds; version 2 takes whole ones.
    pub advert_int: f64,
    pub routers: Vec<Router>,
    /// Where each start leaves what it printed.
    pub logs: Option<PathBuf>,
}

/// A virtual router; the first is preferred on the first host, the second on the second.
#[derive(Clone, Debug)]
pub struct Router {
    pub name: String,
    pub vrid: u8,
    pub vip: IpAddr,
}

impl Pair {
    /// The text of keepalived.conf for the host with this place.
    fn config(&self, place: usize) -> String {
        let mut text = format!("global_defs {{\n    vrrp_version {}\n}}\n", self.version);
        for (nth, Router { name, vrid, vip }) in self.routers.iter().enumerate() {
            let (state, priority) = if nth == place { ("MASTER", 150) } else { ("BACKUP", 100) };
            text += &format!(
                "vrrp_instance {name} {{\n    state {state}\n    interface eth0\n    \
                 virtual_router_id {vrid}\n    priority {priority}\n    advert_int {}\n    \
                 virtual_ipaddress {{\n        {vip}/24 dev eth0\n    }}\n}}\n",
                self.advert_int
            );
        }
        text
    }
}

/// As its service starts it, with files of its own.
pub(super) fn words(program: Program, directory: &Path) -> Program {
    let mut program = program.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    for (word, name) in [
        ("--use-file", "keepalived.conf"),
        ("--pid", "main.pid"),
        ("--vrrp_pid", "vrrp.pid"),
        ("--checkers_pid", "checkers.pid"),
    ] {
        program = program.arg(word).arg(directory.join(name));
    }
    program
}

impl Cluster {
    /// Two routers that run keepalived, and a client. What asks the product for anything does not
    /// work with it.
    pub fn pair(pair: Pair) -> Result<Cluster> {
        if !Path::new(KEEPALIVED).exists() {
            return Err(LabError::Missing {
                program: "keepalived".to_owned(),
                install: "apt-get install keepalived".to_owned(),
            });
        }
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let lan = Lan::new("service", "192.168.1.0/24", None)?;
        let client = Host::new("client")?;
        lan.attach(&client, "eth0", 50)?;
        let mut cluster = Cluster {
            binary: KEEPALIVED.into(),
            directory: std::env::temp_dir().join(name),
            interface: "eth0",
            run: Vec::new(),
            logs: pair.logs.clone(),
            disk: None,
            wall_clocks: false,
            nodes: Vec::new(),
            pair: None,
            client,
            lan,
        };
        for (place, nth) in [(0, 1), (1, 2)] {
            let name = format!("ka{nth}");
            let host = Host::new(&name)?;
            let port = cluster.lan.attach(&host, "eth0", nth)?;
            host.sysctl("net.ipv4.conf.all.promote_secondaries", "1")?;
            let data_dir = cluster.directory.join(&name);
            let file = data_dir.join("keepalived.conf");
            fs::create_dir_all(&data_dir)
                .and_then(|()| fs::write(&file, pair.config(place)))
                .map_err(LabError::system(file.display().to_string()))?;
            let (daemon, disk, wall_clock) = (None, None, None);
            cluster.nodes.push(Node {
                name,
                host,
                port,
                data_dir,
                daemon,
                starts: 0,
                _pins: None,
                disk,
                wall_clock,
            });
        }
        cluster.pair = Some(pair);
        (0..cluster.nodes.len()).try_for_each(|place| cluster.launch(place, &[]))?;
        Ok(cluster)
    }

    /// What can be seen of a pair from outside, in the words of the product's status: a router
    /// that runs and has a VIP bound holds it, and one has come up when it has what it prefers.
    pub fn pair_status(&self) -> Option<Value> {
        let pair = self.pair.as_ref()?;
        let shown = |node: &Node| node.host.ip("-o -4 addr show").unwrap_or_default();
        let bound: Vec<String> = self.nodes.iter().map(shown).collect();
        let has = |place: usize, vip: IpAddr| bound[place].contains(&format!(" {vip}/"));
        let places = || 0..self.nodes.len();
        let holder = |vip: IpAddr| {
            let running = places().find(|place| self.is_up(*place) && has(*place, vip));
            running.or_else(|| places().find(|place| has(*place, vip)))
        };
        let name = |place: usize| self.nodes[place].name.as_str();
        let instances = pair
            .routers
            .iter()
            .map(|one| json!({ "name": one.name, "holder": holder(one.vip).map(name) }));
        let nodes = places().map(|place| {
            let home = pair.routers.get(place).is_none_or(|one| has(place, one.vip));
            let state = if self.is_up(place) && home { "up" } else { "down" };
            json!({ "name": name(place), "state": state })
        });
        // Nobody leads: who holds the first address is whom it would hurt most.
        let leader = pair.routers.first().and_then(|one| holder(one.vip)).map(name);
        Some(json!({
            "cluster": { "leader": leader },
            "instances": instances.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
        }))
    }
}
