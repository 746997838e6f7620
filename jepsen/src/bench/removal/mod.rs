//! Real servers that fail: how soon they are removed, and how soon they are back.
//!
//! Leasehold and Debian's keepalived check the same real servers at the same time, so one fault is
//! the same instant for both.

mod case;
mod seen;
mod target;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::peers::keepalived::Keepalived;
use leasehold_lab::vm::has_module;
use leasehold_lab::{Host, LabError, Result, now_ns, until};

use self::case::Case;
pub use self::case::{Checker, Fault};
use self::seen::{Seen, Table};
use self::target::Target;
use super::{pass, spread};

const SUBNET: &str = "10.90.0.0/24";
const VIP: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 100);
const KEEPALIVED: u16 = 61;
const TARGET: u16 = 60;

/// What is not removed by then stays: three times what the slowest way takes.
const REMOVED_WITHIN: Duration = Duration::from_secs(15);
const BACK_WITHIN: Duration = Duration::from_secs(30);
const ALL_UP: Duration = Duration::from_secs(120);

/// Every check succeeds in it, so that a failure is the first in a row.
const CALM: Duration = Duration::from_secs(3);

/// The rounds begin at different times within a second.
const SHIFT_MS: u32 = 370;
const INTERVAL_MS: u32 = 1000;

/// What one system did about one fault, round by round. Absent: nothing.
#[derive(Clone, Debug, Default)]
struct Done {
    removed_ms: Vec<Option<f64>>,
    back_ms: Vec<Option<f64>>,
}

/// What both did about one fault.
#[derive(Clone, Debug)]
pub struct Row {
    pub checker: Checker,
    pub fault: Fault,
    keepalived: Done,
    leasehold: Done,
}

impl Row {
    pub const HEAD: &'static str = "| checker | fault | keepalived: removed after ms, \
        min / median / max | leasehold: removed after ms | keepalived: back after ms | \
        leasehold: back after ms |\n| --- | --- | --- | --- | --- | --- |";

    /// Whether Leasehold saw all that keepalived saw, and that it was over.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let seen = |rounds: &[Option<f64>]| rounds.iter().flatten().count();
        let Row { keepalived, leasehold, .. } = self;
        seen(&leasehold.removed_ms) >= seen(&keepalived.removed_ms)
            && leasehold.back_ms.iter().all(Option::is_some)
    }
}

/// All rows, and how well they could be seen.
#[derive(Clone, Debug)]
pub struct Report {
    pub rows: Vec<Row>,
    /// The longest time between two looks at a table, keepalived's and Leasehold's.
    pub blind_ms: [f64; 2],
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} |",
            self.checker.name(),
            self.fault.name(),
            shown(&self.keepalived.removed_ms),
            shown(&self.leasehold.removed_ms),
            shown(&self.keepalived.back_ms),
            shown(&self.leasehold.back_ms)
        )
    }
}

fn shown(rounds: &[Option<f64>]) -> String {
    let happened: Vec<f64> = rounds.iter().flatten().copied().collect();
    match (happened.len(), rounds.len()) {
        (_, 0) => "-".to_owned(),
        (0, _) => "never".to_owned(),
        (some, all) if some == all => spread(&happened),
        (some, all) => format!("{} ({some} of {all} times)", spread(&happened)),
    }
}

/// Puts all faults of these checkers to both systems, so many times.
///
/// # Errors
/// Where either does not come up, or does not take the real servers in.
pub fn run(binary: PathBuf, checkers: &[Checker], rounds: usize) -> Result<Report> {
    let cases = Case::all(checkers);
    let cluster = Cluster::start(&Plan { subnet: SUBNET, directors: 1, ..Plan::new(binary) })?;
    let (director, other) = (&cluster.nodes()[0].host, Host::new("ka")?);
    cluster.lan.attach(&other, "eth0", KEEPALIVED)?;
    let mut target = Target::start(&cluster.lan, TARGET, &cases, &[director, &other])?;
    let (mut ours, mut theirs) = (instance("lease", 1, &[VIP.into()]), script_user());
    for case in &cases {
        let script = target.script(*case)?;
        ours += &case.leasehold(VIP, &script);
        theirs += &case.keepalived(VIP, &script);
    }
    cluster.apply("toml", &ours)?;
    cluster.wait_for_holder("lease")?;
    let keepalived = Keepalived::check(&other, &theirs)?;
    let tables = if has_module("ip_vs") {
        [Table::Ipvs(&other), Table::Ipvs(director)]
    } else {
        [Table::Log(keepalived.process()), Table::Nftables(director)]
    };
    let servers: Vec<Ipv4Addr> = cases.iter().map(|case| case.address()).collect();
    let mut rows: Vec<Row> = cases.iter().map(Row::of).collect();
    let (seen, stop) = ([Seen::default(), Seen::default()], AtomicBool::new(false));
    std::thread::scope(|scope| {
        let follow = |(seen, table)| {
            let (servers, stop) = (&servers, &stop);
            let looked = move || Seen::follow(seen, table, servers, stop);
            scope.spawn(looked)
        };
        let threads: Vec<_> = seen.iter().zip(&tables).map(follow).collect();
        let done = (1..).take(rounds).try_for_each(|round| {
            suffer(&mut target, &servers, [&seen[0], &seen[1]], round, &mut rows)
        });
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        done
    })
    .map_err(|error| LabError::Argument(format!("{error}\n{}", last_words(&keepalived))))?;
    Ok(Report { rows, blind_ms: seen.map(|one| one.blind_ms()) })
}

fn script_user() -> String {
    "global_defs {\n script_user root\n enable_script_security\n}\n".to_owned()
}

fn last_words(keepalived: &Keepalived) -> String {
    let lines = keepalived.process().output();
    format!("keepalived said last:\n  {}", lines[lines.len().saturating_sub(15)..].join("\n  "))
}

impl Row {
    fn of(case: &Case) -> Row {
        let Case { checker, fault, .. } = *case;
        Row { checker, fault, keepalived: Done::default(), leasehold: Done::default() }
    }

    fn each(&mut self) -> [&mut Done; 2] {
        [&mut self.keepalived, &mut self.leasehold]
    }
}

/// One round: all is well, all is broken, all is mended.
fn suffer(
    target: &mut Target,
    servers: &[Ipv4Addr],
    seen: [&Seen; 2],
    round: u32,
    rows: &mut [Row],
) -> Result<()> {
    let missing = |who: &Seen| -> Vec<Ipv4Addr> {
        servers.iter().copied().filter(|server| !who.is_present(*server)).collect()
    };
    until("every real server to be in both tables", ALL_UP, || {
        seen.iter().all(|who| missing(who).is_empty()).then_some(())
    })
    .map_err(|error| {
        let [theirs, ours] = seen.map(missing);
        LabError::Argument(format!("{error}: keepalived lacks {theirs:?}, leasehold {ours:?}"))
    })?;
    pass(CALM + Duration::from_millis((SHIFT_MS * round % INTERVAL_MS).into()))?;
    let broken = each(servers, |nth| target.inflict(nth))?;
    let gone = |who: &Seen| servers.iter().all(|server| !who.is_present(*server));
    // Some are right to stay, or wrong: either shows in the row.
    let _ =
        until("all to be removed", REMOVED_WITHIN, || seen.iter().all(|w| gone(w)).then_some(()));
    for ((server, row), from) in servers.iter().zip(rows.iter_mut()).zip(&broken) {
        for (done, who) in row.each().into_iter().zip(seen) {
            done.removed_ms.push(who.when(*server, *from, false).map(|at| ms(*from, at)));
        }
    }
    let removed: Vec<[bool; 2]> =
        servers.iter().map(|server| seen.map(|who| !who.is_present(*server))).collect();
    let mended = each(servers, |nth| target.heal(nth))?;
    let _ = until("all to be back", BACK_WITHIN, || {
        seen.iter().all(|who| missing(who).is_empty()).then_some(())
    });
    for (nth, (server, row)) in servers.iter().zip(rows).enumerate() {
        for (who, done) in row.each().into_iter().enumerate() {
            if removed[nth][who] {
                let back = seen[who].when(*server, mended[nth], true);
                done.back_ms.push(back.map(|at| ms(mended[nth], at)));
            }
        }
    }
    Ok(())
}

/// When it was done to each.
fn each(servers: &[Ipv4Addr], mut what: impl FnMut(usize) -> Result<()>) -> Result<Vec<u64>> {
    (0..servers.len()).map(|nth| what(nth).map(|()| now_ns())).collect()
}

fn ms(from_ns: u64, until_ns: u64) -> f64 {
    // Nothing here is near 2^52 ns.
    until_ns.saturating_sub(from_ns) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_an_address_and_what_never_happened_is_said() {
        let cases = Case::all(&Checker::ALL);
        let all: std::collections::BTreeSet<Ipv4Addr> =
            cases.iter().map(|case| case.address()).collect();
        assert_eq!(all.len(), cases.len());
        assert_eq!(shown(&[Some(1.0), Some(3.0), Some(2.0)]), "1 / 2 / 3");
        assert_eq!(shown(&[Some(1.0), None]), "1 / 1 / 1 (1 of 2 times)");
        let row =
            |theirs: &[Option<f64>], removed_ms: &[Option<f64>], back_ms: &[Option<f64>]| Row {
                keepalived: Done { removed_ms: theirs.to_vec(), back_ms: Vec::new() },
                leasehold: Done { removed_ms: removed_ms.to_vec(), back_ms: back_ms.to_vec() },
                ..Row::of(&cases[0])
            };
        let some = Some(1.0);
        assert!(row(&[some, None], &[None, some], &[some]).is_good());
        assert!(row(&[None], &[None], &[]).is_good());
        assert!(!row(&[some, some], &[None, some], &[some]).is_good(), "keepalived saw more");
        assert!(!row(&[some], &[some], &[None]).is_good(), "it never came back");
        assert_eq!((shown(&[None]), shown(&[])), ("never".to_owned(), "-".to_owned()));
    }
}
