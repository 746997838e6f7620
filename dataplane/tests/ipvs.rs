//! What the kernel refuses, changes or forgets to tell: on a kernel that has IPVS.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::ipvs::{Ipvs, key};
use leasehold_dataplane::service::{Drains, Key, Server, Service, Settings, Sync, Table};
use leasehold_dataplane::{Balancer, Done, Journal, Wishes, clear};
use leasehold_lab::vm::with_module;
use leasehold_lab::{LabError, Result};
use leasehold_model::{Dataplane, Forward, GroupId, LvsTimeouts, SchedulerFlags, SyncDaemon};
use nix::sched::{CloneFlags, unshare};

/// Which kernel threads copy connections: another start is another number.
fn sync_threads() -> Vec<String> {
    let text = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        let is_sync = name.starts_with("ipvs-m:") || name.starts_with("ipvs-b:");
        is_sync.then(|| format!("{} {}", entry.file_name().display(), name.trim()))
    });
    let mut all: Vec<String> = text.collect();
    all.sort();
    all
}

/// In a network namespace that nobody else has.
fn with_ipvs(test: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    with_module("ip_vs", test, || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(any)?;
        // Without an interface that is up, no address is a unicast one.
        ip("link set lo up")?;
        body()
    })
}

fn sync_daemon(interface: &str) -> SyncDaemon {
    SyncDaemon {
        interface: interface.to_owned(),
        instance: None,
        id: 5,
        maxlen: None,
        port: None,
        ttl: None,
        group: None,
    }
}

fn ip(words: &str) -> Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status().map_err(any)?;
    if status.success() { Ok(()) } else { Err(any(format!("ip {words}"))) }
}

fn any(error: impl std::fmt::Display) -> LabError {
    LabError::Argument(error.to_string())
}

fn named(name: &str) -> Key {
    name.parse().expect("a service")
}

fn table(names: &[&str]) -> Table {
    let settings = Settings {
        scheduler: "rr".to_owned(),
        flags: SchedulerFlags::default(),
        one_packet: false,
        persistence: None,
    };
    let address = "10.9.0.1:80".parse().expect("an address");
    let server = Server { address, forward: Forward::Nat, weight: 1, upper: 0, lower: 0 };
    let servers = vec![server];
    let service = Service { group: GroupId(1), settings, servers, failed: Vec::new() };
    names.iter().map(|name| (named(name), service.clone())).collect()
}

/// One pass that has nothing but these services to see to.
struct Pass {
    table: Table,
    owned: BTreeSet<Key>,
    sync: Option<Sync>,
    timeouts: Option<LvsTimeouts>,
}

impl Pass {
    fn new(names: &[&str]) -> Pass {
        Pass { table: table(names), owned: BTreeSet::new(), sync: None, timeouts: None }
    }

    fn put(&self, balancer: &mut Balancer) -> Result<Done> {
        let wishes = Wishes {
            table: &self.table,
            owned: &self.owned,
            sync: self.sync.as_ref(),
            end_sync: false,
            timeouts: self.timeouts,
            drain_for: Duration::ZERO,
        };
        balancer.put(&wishes, &mut Drains::default(), boot_now()).map_err(any)
    }
}

fn listed() -> Result<BTreeSet<Key>> {
    let services = Ipvs::open().map_err(any)?.client().services().map_err(any)?;
    Ok(services.into_iter().map(|one| key(one.service.id)).collect())
}

#[test]
fn timeouts_that_are_refused_hold_no_service_up() -> Result<()> {
    with_ipvs("timeouts_that_are_refused_hold_no_service_up", || {
        let mut balancer = Balancer::open(Dataplane::Ipvs).map_err(any)?;
        let mut pass = Pass::new(&["-t 10.0.0.1:80"]);
        pass.timeouts = Some(LvsTimeouts { tcp: Some(u32::MAX), tcpfin: None, udp: None });
        assert_eq!(pass.put(&mut balancer)?.failures.len(), 0);
        assert_eq!(listed()?, BTreeSet::from([named("-t 10.0.0.1:80")]));
        // The longest that may be configured; and 0 is no wish.
        pass.timeouts = Some(LvsTimeouts { tcp: Some(2_147_483), tcpfin: Some(0), udp: Some(7) });
        pass.put(&mut balancer)?;
        let is = Ipvs::open().map_err(any)?.client().timeouts().map_err(any)?;
        assert_eq!((is.tcp, is.udp), (Some(2_147_483), Some(7)));
        assert_ne!(is.tcp_fin, Some(0));
        Ok(())
    })
}

/// Runs the test `name` again, with an `nft` that knows no tables and fails otherwise.
fn again_with_a_broken_nft(name: &str) -> Result<()> {
    let folder = tempfile::tempdir().map_err(any)?;
    let nft = folder.path().join("nft");
    let script = "#!/bin/sh\n[ \"$*\" = 'list tables' ] && exit\necho broken >&2; exit 1\n";
    std::fs::write(&nft, script).map_err(any)?;
    std::fs::set_permissions(&nft, std::fs::Permissions::from_mode(0o755)).map_err(any)?;
    let path = std::env::var("PATH").map_err(any)?;
    let path = format!("{}:{path}", folder.path().display());
    let mut test = Command::new(std::env::current_exe().map_err(any)?);
    test.args(["--exact", name, "--nocapture"]).env("PATH", path).env(BROKEN, "");
    let status = test.status().map_err(any)?;
    if status.success() { Ok(()) } else { Err(any("it failed with a broken nft")) }
}

const BROKEN: &str = "LEASEHOLD_TEST_NFT_IS_BROKEN";

#[test]
fn an_nft_that_fails_does_not_stop_ipvs() -> Result<()> {
    let name = "an_nft_that_fails_does_not_stop_ipvs";
    with_ipvs(name, || {
        if std::env::var_os(BROKEN).is_none() {
            return again_with_a_broken_nft(name);
        }
        let pass = Pass::new(&["-t 10.0.0.1:80"]);
        let owned: BTreeSet<Key> = pass.table.keys().copied().collect();
        let mut balancer = Balancer::open_alone(Dataplane::Ipvs, &owned).map_err(any)?;
        assert_eq!(pass.put(&mut balancer)?.failures.len(), 0);
        let folder = tempfile::tempdir().map_err(any)?;
        let path = folder.path().join("services");
        Journal::open(&path).and_then(|mut journal| journal.write(owned)).map_err(any)?;
        clear(&path).map_err(any)?;
        assert_eq!(listed()?.len(), 0);
        assert_eq!(Journal::open(&path).map_err(any)?.keys().len(), 0);
        Ok(())
    })
}

#[test]
fn a_length_that_the_kernel_changes_restarts_no_sync_thread() -> Result<()> {
    with_ipvs("a_length_that_the_kernel_changes_restarts_no_sync_thread", || {
        let mut balancer = Balancer::open(Dataplane::Ipvs).map_err(any)?;
        ip("link add sync0 type veth peer name sync1")?;
        ip("link set sync0 up")?;
        ip("link set sync1 up")?;
        ip("addr add 10.7.0.1/24 dev sync0")?;
        ip("addr add fd07::1/64 dev sync0 nodad")?;
        for (length, group) in [(1, None), (u16::MAX, None), (u16::MAX, Some("ff02::81"))] {
            let group = group.map(|group| group.parse().expect("an address"));
            let daemon = SyncDaemon { maxlen: Some(length), group, ..sync_daemon("sync0") };
            let mut pass = Pass::new(&["-t 10.0.0.1:80"]);
            pass.sync = Some(Sync { daemon, master: true, backup: true });
            assert_eq!(pass.put(&mut balancer)?.unsynced, None);
            let threads = sync_threads();
            assert_eq!(threads.len(), 2, "{threads:?}");
            assert_eq!(pass.put(&mut balancer)?.unsynced, None);
            let is = Ipvs::open().map_err(any)?.client().sync_daemons().map_err(any)?;
            assert_eq!(sync_threads(), threads, "{length} {group:?}: {is:?}");
        }
        Ok(())
    })
}

/// A list that is cut by another's change lacks a service: so each is removed unseen, once.
#[test]
fn what_leaves_the_journal_was_removed_whether_it_was_listed_or_not() -> Result<()> {
    with_ipvs("what_leaves_the_journal_was_removed_whether_it_was_listed_or_not", || {
        let mut balancer = Balancer::open(Dataplane::Ipvs).map_err(any)?;
        let names = ["-t 10.0.0.1:80", "-u 10.0.0.1:53", "-f 7", "-t [fd00::1]:80"];
        let owned: BTreeSet<Key> = names.map(named).into();
        let pass = Pass::new(&names[..1]);
        let mut sent = |pass: &Pass| -> Result<u64> {
            assert_eq!(pass.put(&mut balancer)?.failures.len(), 0);
            let before = messages(&mut balancer);
            let failures = balancer.retire(&pass.table, &owned).map_err(any)?;
            assert_eq!(failures.len(), 0, "{failures:?}");
            Ok(messages(&mut balancer) - before)
        };
        assert_eq!(sent(&pass)?, 4, "a list, and three that are not in it");
        assert_eq!(sent(&pass)?, 1, "a list: the kernel has said that it has none of them");
        let other = Pass::new(&names[1..2]);
        assert_eq!(sent(&other)?, 2, "a list, and the one that is over");
        assert_eq!(sent(&pass)?, 2, "what was put again has to be removed again");
        assert_eq!(listed()?, BTreeSet::from([named(names[0])]));
        Ok(())
    })
}

fn messages(balancer: &mut Balancer) -> u64 {
    let Balancer::Ipvs(ipvs) = balancer else { return 0 };
    ipvs.client().counters().messages
}

#[test]
fn what_a_dead_daemon_noted_is_cleared_with_its_sync_daemon() -> Result<()> {
    with_ipvs("what_a_dead_daemon_noted_is_cleared_with_its_sync_daemon", || {
        let mut balancer = Balancer::open(Dataplane::Ipvs).map_err(any)?;
        let mut pass = Pass::new(&["-t 10.0.0.1:80", "-f 9"]);
        pass.sync = Some(Sync { daemon: sync_daemon("lo"), master: true, backup: true });
        assert_eq!(pass.put(&mut balancer)?.unsynced, None);
        let folder = tempfile::tempdir().map_err(any)?;
        let path = folder.path().join("services");
        let mut journal = Journal::open(&path).map_err(any)?;
        journal.write([named("-t 10.0.0.1:80"), named("-f 8")].into()).map_err(any)?;
        clear(&path).map_err(any)?;
        assert_eq!(listed()?, BTreeSet::from([named("-f 9")]), "nobody noted this one");
        assert_eq!(sync_threads().len(), 2, "nobody noted these");
        let mut journal = Journal::open(&path).map_err(any)?;
        journal.note_sync(true).map_err(any)?;
        clear(&path).map_err(any)?;
        assert_eq!(sync_threads(), Vec::<String>::new());
        assert!(!Journal::open(&path).map_err(any)?.has_sync());
        Ok(())
    })
}
