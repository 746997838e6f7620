//! The kernel's own balancer: services as they should be, into requests, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use leasehold_dataplane_core::service::{
    Drains, Existing, ExistingServer, Key, Load, Op, Put, Server, Settings, Stickiness, Sync,
    Table, diff,
};
use leasehold_ipvs::{
    Checksum, Client, Destination, DestinationStatus, Encapsulation, Error, Flags, Persistence,
    Refusal, Request, Service, ServiceId, SyncDaemon, SyncState, Timeouts,
};
use leasehold_model::{
    BootNanos, Family, Forward, LvsTimeouts, Protocol, SchedulerFlags, Tunnel, TunnelChecksum,
    TunnelKind,
};

use crate::balancer::{Done, Failures, Wishes};
use crate::run::{LIMIT, run};

/// IPVS of this network namespace.
#[derive(Debug)]
pub struct Ipvs {
    client: Client,
    /// Why the timeouts are not as they should be: it is said once.
    untimed: Option<String>,
    /// Services that the kernel said it has not, since they were last put.
    absent: BTreeSet<Key>,
}

/// Whether this kernel has IPVS, or could load it. Loads nothing.
#[must_use]
pub fn is_available() -> bool {
    let loadable = || {
        let mut modprobe = Command::new("modprobe");
        modprobe.args(["--dry-run", "--quiet", "ip_vs"]);
        run(&mut modprobe, "", LIMIT).is_ok_and(|output| output.status.success())
    };
    Path::new("/proc/net/ip_vs").exists() || loadable()
}

impl Ipvs {
    /// # Errors
    /// Where there is no IPVS.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { client: Client::open()?, untimed: None, absent: BTreeSet::new() })
    }

    /// Adds and mends; see [`crate::Balancer::put`].
    pub(crate) fn put(
        &mut self,
        wishes: &Wishes<'_>,
        drains: &mut Drains,
        now: BootNanos,
    ) -> Result<Done, Error> {
        self.absent.retain(|key| !wishes.table.contains_key(key));
        self.try_timeouts(wishes.timeouts);
        let before = self.read(|key| wishes.table.contains_key(key))?;
        let none = BTreeSet::new();
        let ops = diff(wishes.table, &before, &none, drains, now, wishes.drain_for);
        let mut failures = self.carry_out(&ops)?;
        if !failures.is_empty() {
            // The kernel lists services one by one: what another changes meanwhile may be listed
            // twice, or not at all. A second look tells that from a refusal.
            let now_there = self.read(|key| failures.contains_key(key))?;
            let table = wishes.table.iter().filter(|(key, _)| failures.contains_key(*key));
            let table = table.map(|(key, service)| (*key, service.clone())).collect();
            let mut fresh = Drains::default();
            let ops = diff(&table, &now_there, &none, &mut fresh, now, wishes.drain_for);
            failures = self.carry_out(&ops)?;
        }
        // Last: the kernel takes no service of mixed families while it synchronises.
        let unsynced = self.set_sync(wishes.sync, wishes.end_sync).err();
        Ok(Done { failures, unsynced: unsynced.map(|error| error.to_string()), before })
    }

    /// Removes; see [`crate::Balancer::retire`].
    pub(crate) fn retire(
        &mut self,
        table: &Table,
        owned: &BTreeSet<Key>,
    ) -> Result<Failures, Error> {
        let there = self.client.services()?.into_iter().map(|one| key(one.service.id));
        let there: BTreeSet<Key> = there.collect();
        // A list that another changes meanwhile may lack what is there: only the kernel's answer
        // to its removal proves that a service is gone.
        let may_be = |key: &&Key| there.contains(*key) || !self.absent.contains(*key);
        let gone = owned.iter().filter(|key| !table.contains_key(*key)).filter(may_be);
        let gone: Vec<Key> = gone.copied().collect();
        let requests: Vec<Request> =
            gone.iter().map(|key| Request::DeleteService(id(*key))).collect();
        self.absent.retain(|key| owned.contains(key));
        let mut failures = Failures::new();
        for refusal in self.client.apply(&requests)? {
            if !is_absence(&refusal) {
                failures.insert(gone[refusal.index], refusal.to_string());
            }
        }
        self.absent.extend(gone.into_iter().filter(|key| !failures.contains_key(key)));
        Ok(failures)
    }

    /// Ends the copying of connections, whoever began it.
    pub(crate) fn stop_sync(&mut self) -> Result<(), Error> {
        self.set_sync(None, true)
    }

    /// The services that `wanted` names, as the kernel has them.
    pub(crate) fn read(
        &mut self,
        wanted: impl Fn(&Key) -> bool,
    ) -> Result<BTreeMap<Key, Existing>, Error> {
        let mut found = BTreeMap::new();
        for one in self.client.services()? {
            let key = key(one.service.id);
            if wanted(&key) {
                let servers = self.client.destinations(&one.service.id)?;
                let servers = servers.iter().map(existing_server).collect();
                found.insert(key, Existing { settings: settings(&one.service), servers });
            }
        }
        Ok(found)
    }

    /// IPVS itself, for who wants to see what nobody here configured too.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn carry_out(&mut self, ops: &[Op]) -> Result<Failures, Error> {
        if ops.is_empty() {
            return Ok(Failures::new());
        }
        let requests: Vec<Request> = ops.iter().map(request).collect();
        let mut failures = Failures::new();
        for refusal in self.client.apply(&requests)? {
            // The first says most: where there is no service, none of its real servers is taken.
            failures.entry(ops[refusal.index].key()).or_insert_with(|| refusal.to_string());
        }
        Ok(failures)
    }

    /// Sets the timeouts; where the kernel refuses them, services do not wait for that.
    fn try_timeouts(&mut self, wanted: Option<LvsTimeouts>) {
        let why = self.set_timeouts(wanted).err().map(|error| error.to_string());
        if let Some(why) = why.as_ref().filter(|why| self.untimed.as_ref() != Some(*why)) {
            tracing::error!("lvs_timeouts: {why}");
        }
        self.untimed = why;
    }

    fn set_timeouts(&mut self, wanted: Option<LvsTimeouts>) -> Result<(), Error> {
        let Some(LvsTimeouts { tcp, tcpfin, udp }) = wanted else { return Ok(()) };
        // The kernel takes 0 as no wish.
        let [tcp, tcp_fin, udp] =
            [tcp, tcpfin, udp].map(|seconds| seconds.filter(|seconds| *seconds != 0));
        let wanted = Timeouts { tcp, tcp_fin, udp };
        let is = self.client.timeouts()?;
        let differs = |wanted: Option<u32>, is| wanted.is_some() && wanted != is;
        if differs(tcp, is.tcp) || differs(tcp_fin, is.tcp_fin) || differs(udp, is.udp) {
            self.request(Request::SetTimeouts(wanted))?;
        }
        Ok(())
    }

    /// Starts and stops the copying of connections. Where it is not wanted and was not ours, it
    /// is left as it is.
    fn set_sync(&mut self, wanted: Option<&Sync>, end: bool) -> Result<(), Error> {
        if wanted.is_none() && !end {
            return Ok(());
        }
        let running = self.client.sync_daemons()?;
        for (state, run) in [
            (SyncState::Master, wanted.filter(|one| one.master)),
            (SyncState::Backup, wanted.filter(|one| one.backup)),
        ] {
            let is = running.iter().find(|one| one.state == state);
            let run = run.map(|one| sync_daemon(one, state));
            if let (Some(is), Some(run)) = (is, &run)
                && is_same(is, run)
            {
                continue;
            }
            if is.is_some() {
                self.request(Request::StopSync(state))?;
            }
            if let Some(run) = run {
                self.request(Request::StartSync(run))?;
            }
        }
        Ok(())
    }

    fn request(&mut self, request: Request) -> Result<(), Error> {
        match self.client.apply(&[request])?.pop() {
            None => Ok(()),
            Some(refusal) => Err(Error::Refused(std::io::Error::other(refusal.to_string()))),
        }
    }
}

/// Whether the kernel refuses to remove a service for want of it, or of its whole family.
fn is_absence(refusal: &Refusal) -> bool {
    [libc::ESRCH, libc::EAFNOSUPPORT].into_iter().any(|one| refusal.errno() == Some(one))
}

/// What the configuration leaves open, the kernel fills in.
fn is_same(is: &SyncDaemon, run: &SyncDaemon) -> bool {
    fn open_or<T: PartialEq>(wanted: Option<&T>, is: Option<&T>) -> bool {
        wanted.is_none() || wanted == is
    }
    (is.state, &is.interface, is.sync_id) == (run.state, &run.interface, run.sync_id)
        && open_or(run.max_length.as_ref(), is.max_length.as_ref())
        && open_or(run.group.as_ref(), is.group.as_ref())
        && open_or(run.port.as_ref(), is.port.as_ref())
        && open_or(run.ttl.as_ref(), is.ttl.as_ref())
}

/// As the kernel will have it.
fn sync_daemon(wanted: &Sync, state: SyncState) -> SyncDaemon {
    let one = &wanted.daemon;
    // `start_sync_thread`: a datagram holds 65,535 bytes with its IP and UDP headers, and 0 is no
    // wish.
    let headers = if one.group.is_some_and(|group| group.is_ipv6()) { 48 } else { 28 };
    let least = match state {
        SyncState::Master => 1,
        SyncState::Backup => 1024,
    };
    let length = one.maxlen.filter(|length| *length != 0);
    SyncDaemon {
        state,
        interface: one.interface.clone(),
        sync_id: one.id.into(),
        max_length: length.map(|length| length.clamp(least, u16::MAX - headers)),
        group: one.group,
        port: one.port,
        ttl: one.ttl,
    }
}

fn request(op: &Op) -> Request {
    match op {
        Op::Service(Put::New, key, settings) => Request::AddService(service(*key, settings)),
        Op::Service(Put::Changed, key, settings) => Request::SetService(service(*key, settings)),
        Op::RemoveService(key) => Request::DeleteService(id(*key)),
        Op::Server(Put::New, key, one) => Request::AddDestination(id(*key), destination(one)),
        Op::Server(Put::Changed, key, one) => Request::SetDestination(id(*key), destination(one)),
        Op::RemoveServer(key, address) => Request::DeleteDestination(id(*key), *address),
    }
}

/// The kernel's name for a service.
#[must_use]
pub fn id(key: Key) -> ServiceId {
    match key {
        Key::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => leasehold_ipvs::Protocol::Tcp,
                Protocol::Udp => leasehold_ipvs::Protocol::Udp,
                Protocol::Sctp => leasehold_ipvs::Protocol::Sctp,
            };
            ServiceId::Address { protocol, address, port }
        }
        Key::Fwmark { mark, family } => {
            let family = match family {
                Family::Inet => leasehold_ipvs::Family::V4,
                Family::Inet6 => leasehold_ipvs::Family::V6,
            };
            ServiceId::Fwmark { mark, family }
        }
    }
}

/// Our name for a service of the kernel's.
#[must_use]
pub fn key(id: ServiceId) -> Key {
    match id {
        ServiceId::Address { protocol, address, port } => {
            let protocol = match protocol {
                leasehold_ipvs::Protocol::Tcp => Protocol::Tcp,
                leasehold_ipvs::Protocol::Udp => Protocol::Udp,
                leasehold_ipvs::Protocol::Sctp => Protocol::Sctp,
            };
            Key::Address { protocol, address, port }
        }
        ServiceId::Fwmark { mark, family } => {
            let family = match family {
                leasehold_ipvs::Family::V4 => Family::Inet,
                leasehold_ipvs::Family::V6 => Family::Inet6,
            };
            Key::Fwmark { mark, family }
        }
    }
}

fn service(key: Key, settings: &Settings) -> Service {
    let SchedulerFlags { flag_1, flag_2, flag_3 } = settings.flags;
    Service {
        id: id(key),
        scheduler: settings.scheduler.clone(),
        flags: Flags {
            one_packet: settings.one_packet,
            sched_1: flag_1,
            sched_2: flag_2,
            sched_3: flag_3,
        },
        persistence: settings.persistence.as_ref().map(|one| Persistence {
            timeout: one.timeout_s,
            prefix: one.prefix,
            engine: one.engine.clone(),
        }),
    }
}

fn settings(service: &Service) -> Settings {
    let Flags { one_packet, sched_1, sched_2, sched_3 } = service.flags;
    Settings {
        scheduler: service.scheduler.clone(),
        flags: SchedulerFlags { flag_1: sched_1, flag_2: sched_2, flag_3: sched_3 },
        one_packet,
        persistence: service.persistence.as_ref().map(|one| Stickiness {
            timeout_s: one.timeout,
            prefix: one.prefix,
            engine: one.engine.clone(),
        }),
    }
}

fn destination(server: &Server) -> Destination {
    let Server { address, forward, weight, upper, lower } = *server;
    let forward = match forward {
        Forward::Nat => leasehold_ipvs::Forward::Masquerade,
        Forward::Dr => leasehold_ipvs::Forward::Direct,
        Forward::Tun(Tunnel { kind, checksum }) => {
            let kind = match kind {
                TunnelKind::Ipip => Encapsulation::Ipip,
                TunnelKind::Gue { port } => Encapsulation::Gue(port),
                TunnelKind::Gre => Encapsulation::Gre,
            };
            let checksum = match checksum {
                TunnelChecksum::Nocsum => Checksum::None,
                TunnelChecksum::Csum => Checksum::Full,
                TunnelChecksum::Remcsum => Checksum::Remote,
            };
            leasehold_ipvs::Forward::Tunnel(kind, checksum)
        }
    };
    Destination { address, forward, weight, upper, lower }
}

fn existing_server(one: &DestinationStatus) -> ExistingServer {
    let Destination { address, forward, weight, upper, lower } = one.destination;
    let load = Load { active: one.active, inactive: one.inactive };
    ExistingServer { address, forward: model_forward(forward), weight, upper, lower, load }
}

/// Absent: a way that no configuration can ask for.
fn model_forward(forward: leasehold_ipvs::Forward) -> Option<Forward> {
    match forward {
        leasehold_ipvs::Forward::Masquerade => Some(Forward::Nat),
        leasehold_ipvs::Forward::Direct => Some(Forward::Dr),
        leasehold_ipvs::Forward::Tunnel(kind, checksum) => {
            let kind = match kind {
                Encapsulation::Ipip => TunnelKind::Ipip,
                Encapsulation::Gue(port) => TunnelKind::Gue { port },
                Encapsulation::Gre => TunnelKind::Gre,
            };
            let checksum = match checksum {
                Checksum::None => TunnelChecksum::Nocsum,
                Checksum::Full => TunnelChecksum::Csum,
                Checksum::Remote => TunnelChecksum::Remcsum,
            };
            Some(Forward::Tun(Tunnel { kind, checksum }))
        }
        leasehold_ipvs::Forward::Local
        | leasehold_ipvs::Forward::Bypass
        | leasehold_ipvs::Forward::Other { .. } => None,
    }
}
