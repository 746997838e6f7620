//! What is done to a holder, and what undoes it.

use std::time::Duration;

use super::Cluster;
use crate::{End, LabError, Result, Signal};

/// A fault or a planned change, of the instance's holder unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of the daemon alone.
    KillDaemon,
    /// kill -9 of all its processes at once.
    KillAll,
    /// SIGSTOP of all its processes for so long, then SIGCONT.
    Freeze(Duration),
    /// The holder's cable is pulled at the switch.
    CutLink,
    /// Nothing passes between the holder and its peers; the client reaches all.
    Partition,
    /// Nothing passes from the holder to its peers.
    PartitionOut,
    /// Nothing passes from its peers to the holder.
    PartitionIn,
    /// kill -9 of all processes of the leader, which is not the holder.
    KillLeader,
    /// `leasehold move`.
    Move,
    /// SIGTERM.
    Terminate,
    /// `leasehold drain`.
    Drain,
}

impl Fault {
    /// The order in which a table shows them.
    pub const ALL: [Fault; 11] = [
        Fault::KillDaemon,
        Fault::KillAll,
        Fault::Freeze(Duration::from_secs(20)),
        Fault::CutLink,
        Fault::Partition,
        Fault::PartitionOut,
        Fault::PartitionIn,
        Fault::KillLeader,
        Fault::Move,
        Fault::Terminate,
        Fault::Drain,
    ];

    pub fn name(self) -> String {
        match self {
            Fault::KillDaemon => "kill -9 of the daemon".to_owned(),
            Fault::KillAll => "kill -9 of daemon and guard".to_owned(),
            Fault::Freeze(span) => format!("SIGSTOP of all, {} s, SIGCONT", span.as_secs()),
            Fault::CutLink => "link cut".to_owned(),
            Fault::Partition => "partition from its peers".to_owned(),
            Fault::PartitionOut => "one-way, holder to peers cut".to_owned(),
            Fault::PartitionIn => "one-way, peers to holder cut".to_owned(),
            Fault::KillLeader => "leader killed, another holds".to_owned(),
            Fault::Move => "move".to_owned(),
            Fault::Terminate => "SIGTERM".to_owned(),
            Fault::Drain => "drain".to_owned(),
        }
    }

    /// Whether the VIP is to be elsewhere afterwards.
    pub fn moves(self) -> bool {
        self != Fault::KillLeader
    }

    /// Does it. What lasts is ended by [`heal`](Self::heal).
    pub fn inject(self, cluster: &Cluster, instance: &str, holder: usize) -> Result<()> {
        let host = &cluster.nodes()[holder].host;
        let others = cluster.nodes().iter().map(|node| &node.host).filter(|one| *one != host);
        let others: Vec<_> = others.collect();
        match self {
            Fault::KillDaemon => cluster.daemon(holder)?.kill(Signal::SIGKILL),
            Fault::KillAll => cluster.daemon(holder)?.kill_tree(),
            Fault::Freeze(_) => cluster.daemon(holder)?.freeze_tree(),
            Fault::CutLink => cluster.lan.link_down(host, End::Bridge),
            Fault::Partition => cluster.lan.partition(&[host], &others),
            Fault::PartitionOut => cluster.lan.cut(&[host], &others, crate::Traffic::All),
            Fault::PartitionIn => cluster.lan.cut(&others, &[host], crate::Traffic::All),
            Fault::KillLeader => {
                let leader = cluster.leader().filter(|leader| *leader != holder);
                let none = || LabError::Argument("the holder leads".to_owned());
                cluster.daemon(leader.ok_or_else(none)?)?.kill_tree()
            }
            Fault::Move => {
                let to = (0..cluster.nodes().len()).rev().find(|one| *one != holder);
                let to = &cluster.nodes()[to.unwrap_or_default()].name;
                cluster.cli(holder, &["move", instance, "--to", to]).map(drop)
            }
            Fault::Terminate => cluster.daemon(holder)?.kill(Signal::SIGTERM),
            Fault::Drain => {
                cluster.cli(holder, &["drain", &cluster.nodes()[holder].name]).map(drop)
            }
        }
    }

    /// How long it lasts by itself before it is healed.
    pub fn lasts(self) -> Duration {
        match self {
            Fault::Freeze(span) => span,
            Fault::CutLink | Fault::Partition | Fault::PartitionOut | Fault::PartitionIn => {
                Duration::from_secs(4)
            }
            Fault::KillDaemon
            | Fault::KillAll
            | Fault::KillLeader
            | Fault::Move
            | Fault::Terminate
            | Fault::Drain => Duration::ZERO,
        }
    }

    /// Ends it: links up, processes awake. Dead daemons stay dead.
    pub fn heal(self, cluster: &Cluster, holder: usize) -> Result<()> {
        match self {
            Fault::Freeze(_) => {
                cluster.daemon(holder)?.thaw_tree();
                Ok(())
            }
            Fault::CutLink | Fault::Partition | Fault::PartitionOut | Fault::PartitionIn => {
                cluster.lan.heal_all()
            }
            Fault::Drain => {
                let up = cluster.any_up()?;
                cluster.cli(up, &["undrain", &cluster.nodes()[holder].name]).map(drop)
            }
            Fault::KillDaemon
            | Fault::KillAll
            | Fault::KillLeader
            | Fault::Move
            | Fault::Terminate => Ok(()),
        }
    }
}
