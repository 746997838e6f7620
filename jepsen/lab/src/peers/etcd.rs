//! Debian's etcd, three members of one cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::owner::{Owner, next_number};
use crate::{Host, LabError, Lan, Process, Program, Result};

const MEMBERS: u16 = 3;

/// The first member's place in the network.
const FIRST: u16 = 11;

const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;

const START_LIMIT: Duration = Duration::from_secs(60);

/// Dropping it ends all members and removes their files.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    directory: PathBuf,
}

/// How members speak with each other. Clients speak without TLS to either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    Plain,
    /// By certificates that etcd makes for itself.
    Tls,
}

/// One member, and where its clients reach it.
#[derive(Debug)]
pub struct Member {
    pub host: Host,
    pub clients: SocketAddr,
    pub process: Process,
}

impl Etcd {
    /// Three hosts in `lan`. Returns when every member takes requests.
    pub fn start(lan: &Lan, between: Between) -> Result<Etcd> {
        let name = format!("leasehold-lab-{}-{}", Owner::this().tag(), next_number());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory)
            .map_err(LabError::system(directory.display().to_string()))?;
        let mut etcd = Etcd { members: Vec::new(), directory };
        let mut hosts = Vec::new();
        for nth in 0..MEMBERS {
            let host = Host::new(&format!("etcd{nth}"))?;
            let port = lan.attach(&host, "eth0", FIRST + nth)?;
            let address =
                port.v4.ok_or_else(|| LabError::Argument("no IPv4 address".to_owned()))?;
            hosts.push((host, address));
        }
        let (scheme, auto) = match between {
            Between::Plain => ("http", "--peer-auto-tls=false"),
            Between::Tls => ("https", "--peer-auto-tls=true"),
        };
        let peers = |address: &Ipv4Addr| format!("{scheme}://{address}:{PEERS}");
        let all: Vec<String> = hosts
            .iter()
            .map(|(host, address)| format!("{}={}", host.label(), peers(address)))
            .collect();
        let all = all.join(",");
        for (host, address) in hosts {
            let (clients, peers) = (format!("http://{address}:{CLIENTS}"), peers(&address));
            let data = etcd.directory.join(host.label());
            let process = Program::new(&format!("etcd in {}", host.label()), "etcd")
                .args(["--name", host.label(), "--initial-cluster", &all])
                .args(["--logger", "zap", "--initial-cluster-state", "new"])
                .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
                .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
                .args([auto, "--data-dir"])
                .arg(data)
                .start(&host)?;
            let clients = SocketAddr::from((address, CLIENTS));
            etcd.members.push(Member { host, clients, process });
        }
        for member in &etcd.members {
            member.process.wait_for_line("serving client traffic", START_LIMIT)?;
        }
        Ok(etcd)
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &self.members {
            let _ = member.process.kill_tree();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
