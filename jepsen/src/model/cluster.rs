//! What the model's states are made of, and what must be true of each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use leasehold_raft_core::lease::{Acknowledgements, Grantor, Holder, Timing};
use leasehold_raft_core::model::{
    BootNanos, Config, Epoch, GroupId, Instance, NodeId, Role, Scope as Reach, Vip,
};
use leasehold_raft_core::state::{Cause, Command, Entry, Member, Retiring, State};

use super::{Fault, Lease, Scope};

pub(super) const TTL: u64 = 2;
/// One clock loses an instant of every three: 2 on it are 3 on the others.
const SLOW_EVERY: u64 = 3;
/// Where clocks stand when the model begins, so that "a ttl ago" exists.
const BEGIN: u64 = 16;

// In the order of their names.
pub(super) const MAIL: GroupId = GroupId(1);
pub(super) const WEB: GroupId = GroupId(2);
pub(super) const NODES: usize = 3;
/// Director; holds web in the beginning. Its clock is the slow one.
pub(super) const A: usize = 0;
/// Director; holds mail where that matters.
pub(super) const B: usize = 1;
/// A witness, and the first leader.
pub(super) const C: usize = 2;

/// An entry of the log, small enough to be hashed a million times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Grant {
        group: GroupId,
        to: usize,
        replaces: Epoch,
    },
    Release {
        group: GroupId,
        epoch: Epoch,
    },
    Handover {
        group: GroupId,
        epoch: Epoch,
        to: usize,
    },
    Started {
        node: usize,
        incarnation: u64,
    },
    Move,
    /// The fields of `Retiring`.
    Retired(Vec<(IpAddr, GroupId, Epoch, usize, u64)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Message {
    Renew { from: usize, sent: BootNanos, leases: Vec<(GroupId, Epoch)>, programmed: u64 },
    Renewed { to: usize, sent: BootNanos, good: Vec<(GroupId, Epoch)> },
    Release { group: GroupId, epoch: Epoch },
    Started { node: usize, incarnation: u64 },
}

/// One instant of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// True time.
    pub(super) time: u64,
    /// Everything committed.
    pub(super) log: Vec<Item>,
    pub(super) nodes: Vec<Node>,
    pub(super) network: BTreeSet<Message>,
    pub(super) elections: u8,
    pub(super) crashes: u8,
    pub(super) handovers: u8,
    pub(super) moves: u8,
    pub(super) copies: u8,
    pub(super) renewals: u8,
    /// The last term in which a quorum confirmed its leader. It then had that leader's first
    /// entry, so what leaders of terms before had not committed is gone.
    pub(super) settled: u64,
    /// When a quorum last confirmed a leader.
    pub(super) last_quorum: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// The greatest term it voted in or acknowledged: on disk.
    pub(super) promise: u64,
    pub(super) incarnation: u64,
    /// How much of the log its machines follow.
    pub(super) applied: usize,
    /// How much of the log its kernel follows.
    pub(super) programmed: usize,
    pub(super) fence: BTreeMap<GroupId, BootNanos>,
    pub(super) process: Option<Process>,
    /// What the dead process held, until its guard has dealt with it.
    pub(super) orphans: Vec<(GroupId, Epoch)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) holder: Holder,
    pub(super) grantor: Grantor,
    pub(super) acks: Acknowledgements<u64>,
    pub(super) leads: Option<u64>,
    pub(super) pending: Option<Item>,
    pub(super) round: Option<(u64, bool)>,
    pub(super) requests: BTreeMap<u64, (usize, BootNanos)>,
    pub(super) programmed: BTreeMap<NodeId, u64>,
    pub(super) asked: bool,
}

pub(super) fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

pub(super) fn timing(fault: Fault, holder: bool) -> Timing {
    let nanos = Duration::from_nanos;
    let max_clock_drift_ppm = if fault == Fault::NoDrift && !holder { 0 } else { 500_000 };
    Timing {
        ttl: nanos(TTL),
        renew_interval: nanos(1),
        heartbeat: nanos(1),
        election_min: nanos(1),
        election_max: nanos(2),
        margin: nanos(0),
        slack: nanos(0),
        max_clock_drift_ppm,
    }
}

/// The clock of `node` at true time `time`.
pub(super) fn clock(node: usize, time: u64) -> BootNanos {
    let lost = if node == A { time / SLOW_EVERY } else { 0 };
    BootNanos(BEGIN + time - lost)
}

pub(super) fn replay(log: &[Item]) -> State {
    let mut state = State::default();
    for node in 0..NODES {
        let member = Member {
            name: format!("ds{node}"),
            address: format!("ds{node}:7400"),
            role: if node == C { Role::Witness } else { Role::Director },
            drained: false,
            votes: true,
            incarnation: 0,
        };
        state.members.insert(id(node), member);
    }
    let mut index = 0;
    let apply = Command::Apply { config: Arc::new(config(false)), if_revision: None, note: None };
    for command in std::iter::once(apply).chain(log.iter().map(command)) {
        index += 1;
        state.apply(index, &Entry { at_unix_ms: 0, command });
    }
    state
}

fn command(item: &Item) -> Command {
    let cause = Cause::Expired;
    match item.clone() {
        Item::Grant { group, to, replaces } => {
            Command::Grant { group, holder: id(to), replaces, cause }
        }
        Item::Release { group, epoch } => Command::Release { group, epoch, next: None, cause },
        Item::Handover { group, epoch, to } => {
            Command::Handover { group, epoch, to: id(to), cause }
        }
        Item::Started { node, incarnation } => Command::Started { node: id(node), incarnation },
        Item::Move => {
            Command::Apply { config: Arc::new(config(true)), if_revision: None, note: None }
        }
        Item::Retired(items) => {
            let retiring = |(address, group, epoch, holder, index)| Retiring {
                address,
                group,
                epoch,
                holder: id(holder),
                index,
            };
            Command::Retired { items: items.into_iter().map(retiring).collect() }
        }
    }
}

impl Lease {
    /// A holds web and C, which leads, was just elected; nothing is open. Where A returns, it has
    /// yet to hear that B had web meanwhile, and has an address of it now.
    pub(super) fn initial(&self) -> Cluster {
        let grant = |group, to, replaces| Item::Grant { group, to, replaces: Epoch(replaces) };
        let mut log = vec![grant(WEB, A, 0)];
        if matches!(self.scope, Scope::Moves | Scope::Returns) {
            log.push(grant(MAIL, B, 0));
        }
        let known_to_a = log.len();
        if self.scope == Scope::Returns {
            let given_up = Item::Release { group: WEB, epoch: Epoch(4) };
            log.extend([grant(WEB, B, 2), Item::Move, given_up]);
        }
        let follows = |node| if node == A { known_to_a } else { log.len() };
        let nodes = (0..NODES).map(|node| Node {
            promise: 1,
            incarnation: 0,
            applied: follows(node),
            programmed: follows(node),
            fence: BTreeMap::new(),
            process: None,
            orphans: Vec::new(),
        });
        let mut cluster = Cluster {
            time: 0,
            nodes: nodes.collect(),
            log,
            network: BTreeSet::new(),
            elections: 0,
            crashes: 0,
            handovers: 0,
            moves: 0,
            copies: 0,
            renewals: 0,
            settled: 1,
            last_quorum: 0,
        };
        for node in 0..NODES {
            self.boot(&mut cluster, node);
        }
        self.lead(&mut cluster, C, 1);
        cluster
    }

    /// Who lets which addresses pass.
    fn answers(&self, cluster: &Cluster, node: usize) -> BTreeSet<IpAddr> {
        let now = clock(node, cluster.time);
        let one = &cluster.nodes[node];
        let open = |group: &GroupId| one.fence.get(group).is_some_and(|deadline| now < *deadline);
        if one.fence.is_empty() {
            return BTreeSet::new();
        }
        let state = self.state(&cluster.log[..one.programmed]);
        let held = state.held_by(id(node));
        let held = held.iter().filter(|held| open(&held.group));
        held.flat_map(|held| held.vips.iter().map(|vip| vip.address)).collect()
    }

    pub(super) fn one_answerer(&self, cluster: &Cluster) -> bool {
        self.answers(cluster, A).is_disjoint(&self.answers(cluster, B))
    }

    /// A ttl of the slowest clock after a quorum last confirmed anybody, nobody answers.
    pub(super) fn no_lease_without_quorum(&self, cluster: &Cluster) -> bool {
        let silent = cluster.time > cluster.last_quorum + TTL;
        !silent || [A, B].iter().all(|node| self.answers(cluster, *node).is_empty())
    }

    pub(super) fn changed_hands(&self, cluster: &Cluster) -> bool {
        let node = if matches!(self.scope, Scope::Moves | Scope::Returns) { A } else { B };
        self.answers(cluster, node).contains(&address(2))
    }

    pub(super) fn address_moved(&self, cluster: &Cluster) -> bool {
        self.answers(cluster, B).contains(&address(1))
    }
}

fn config(moved: bool) -> Config {
    let of: [(&str, &[u8]); 2] =
        if moved { [("mail", &[1, 3]), ("web", &[2])] } else { [("mail", &[3]), ("web", &[1, 2])] };
    let mut config = Config::default();
    for (name, addresses) in of {
        let vip = |last: &u8| Vip {
            address: address(*last),
            prefix: 32,
            dev: None,
            label: None,
            broadcast: None,
            scope: Reach::Global,
        };
        let instance = Instance {
            virtual_ipaddress: addresses.iter().map(vip).collect(),
            ..Instance::new(1, "eth0")
        };
        config.instances.insert(name.to_owned(), instance);
    }
    config
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}
