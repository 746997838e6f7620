//! What a system's kernel forwards to, looked at again and again: when a real server left, and
//! when it came back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_lab::{Host, Process, Result, now_ns};

use super::super::pass;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Where a system keeps what it forwards to.
pub(super) enum Table<'a> {
    /// The kernel's, by `ipvsadm`.
    Ipvs(&'a Host),
    /// The kernel's, by `nft`.
    Nftables(&'a Host),
    /// What keepalived says that it does, where the kernel has no IPVS.
    Log(&'a Process),
}

/// What was seen of one system.
#[derive(Debug, Default)]
pub(super) struct Seen {
    changes: Mutex<BTreeMap<Ipv4Addr, Vec<(u64, bool)>>>,
    /// The longest time between two looks.
    blind_ns: AtomicU64,
}

impl Seen {
    /// Looks until it is to stop.
    pub(super) fn follow(
        &self,
        table: &Table<'_>,
        servers: &[Ipv4Addr],
        stop: &AtomicBool,
    ) -> Result<()> {
        let mut looked_ns = now_ns();
        while !stop.load(Ordering::Relaxed) {
            let present = table.present(servers)?;
            // Seen now, it was so a little earlier: the table is read first.
            let now_ns = now_ns();
            self.note(&present, servers, now_ns);
            self.blind_ns.fetch_max(now_ns - looked_ns, Ordering::Relaxed);
            looked_ns = now_ns;
            pass(PAUSE)?;
        }
        Ok(())
    }

    fn note(&self, present: &BTreeSet<Ipv4Addr>, servers: &[Ipv4Addr], at_ns: u64) {
        let mut changes = self.changes();
        for server in servers {
            let (is, of) = (present.contains(server), changes.entry(*server).or_default());
            if of.last().is_none_or(|last| last.1 != is) {
                of.push((at_ns, is));
            }
        }
    }

    pub(super) fn blind_ms(&self) -> f64 {
        self.blind_ns.load(Ordering::Relaxed) as f64 / 1e6
    }

    pub(super) fn is_present(&self, server: Ipv4Addr) -> bool {
        self.changes().get(&server).and_then(|all| all.last()).is_some_and(|last| last.1)
    }

    /// The first change to this, from an instant on.
    pub(super) fn when(&self, server: Ipv4Addr, from_ns: u64, present: bool) -> Option<u64> {
        let changes = self.changes();
        let mut all = changes.get(&server)?.iter();
        all.find(|one| one.0 >= from_ns && one.1 == present).map(|one| one.0)
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Vec<(u64, bool)>>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table<'_> {
    fn present(&self, servers: &[Ipv4Addr]) -> Result<BTreeSet<Ipv4Addr>> {
        Ok(match self {
            Table::Ipvs(host) => by_ipvsadm(&host.run("ipvsadm", &["-Ln"])?),
            Table::Nftables(host) => by_nft(&host.run("nft", &["list", "ruleset"])?),
            Table::Log(process) => by_log(&process.output(), servers),
        })
    }
}

/// `  -> 10.200.0.1:80  Masq  1  0  0`; with weight 0 it gets nothing new.
fn by_ipvsadm(text: &str) -> BTreeSet<Ipv4Addr> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &["->", address, _, weight, ..] = words.as_slice() else { return None };
        let (address, _) = address.rsplit_once(':')?;
        address.parse().ok().filter(|_| weight != "0")
    };
    text.lines().filter_map(one).collect()
}

/// Every address that a rule names.
fn by_nft(text: &str) -> BTreeSet<Ipv4Addr> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.filter_map(|word| word.parse().ok()).collect()
}

/// All of them, but those whose removal it said last.
fn by_log(lines: &[String], servers: &[Ipv4Addr]) -> BTreeSet<Ipv4Addr> {
    let mut present: BTreeSet<Ipv4Addr> = servers.iter().copied().collect();
    for line in lines {
        let named = |verb: &str| {
            let rest = line.split_once(verb)?.1;
            rest.split_once(']')?.0.parse::<Ipv4Addr>().ok()
        };
        if let Some(server) = named("Removing service [") {
            present.remove(&server);
        } else if let Some(server) = named("Adding service [") {
            present.insert(server);
        }
    }
    present
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);

    #[test]
    fn a_table_is_read_in_each_of_its_forms() {
        let ipvsadm = "IP Virtual Server version 1.2.1 (size=4096)\nTCP  10.90.0.100:1001 rr\n  \
                       -> 10.200.0.1:80  Masq    1  0  0\n  -> 10.200.0.2:80  Masq    0  0  0\n";
        assert_eq!(by_ipvsadm(ipvsadm), BTreeSet::from([A]));
        let nft = "ip daddr 10.90.0.100 tcp dport 1001 dnat ip to 10.200.0.1:80";
        assert!(by_nft(nft).contains(&A) && !by_nft(nft).contains(&B));
        let line = |verb: &str| format!("Sat Nov 21: {verb} service [10.200.0.1]:tcp:80 VS");
        let log = [line("Removing"), line("Adding"), line("Removing")];
        assert_eq!(by_log(&log, &[A, B]), BTreeSet::from([B]));
        assert_eq!(by_log(&log[..2], &[A, B]), BTreeSet::from([A, B]));
    }

    #[test]
    fn only_a_change_after_the_fault_is_its_doing() {
        let seen = Seen::default();
        for (at, present) in [(1, &[A, B][..]), (5, &[B]), (6, &[B]), (9, &[A, B]), (12, &[B])] {
            seen.note(&present.iter().copied().collect(), &[A, B], at);
        }
        assert_eq!(seen.when(A, 0, false), Some(5));
        assert_eq!(seen.when(A, 6, true), Some(9));
        assert_eq!(seen.when(A, 6, false), Some(12));
        assert_eq!(seen.when(B, 0, false), None);
        assert!(!seen.is_present(A) && seen.is_present(B));
    }
}
