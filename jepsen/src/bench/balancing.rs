//! What clients see of a failover under load: short connections without pause, and downloads that
//! were under way.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::site::{LATER, Mode, NatSite, RealServer, ask, plan};
use leasehold_lab::{Lan, Result, now_ns, until};

const VIP: &str = "192.168.1.100";
const INSTANCE: &str = "VI_1";
const DOWNLOADS: usize = 20;

/// A connection that is not made by then has failed.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(60);

/// How long before the fault the load begins, and how long it goes on.
const BEFORE: Duration = Duration::from_secs(4);
const AFTER: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Nat,
    Direct,
    Tunnel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Kill,
    Move,
    Drain,
}

/// What the clients saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub requests: usize,
    /// Nobody took the connection up, in time.
    pub silent: usize,
    /// Somebody refused it.
    pub refused: usize,
    /// It ended before the page was whole.
    pub cut: usize,
    /// Between two answers, in milliseconds.
    pub longest_gap_ms: f64,
    pub downloads: usize,
    pub survived: usize,
}

/// A site of one kind, with or without connection sync.
#[derive(Debug)]
pub struct Site {
    cluster: Cluster,
    _real: Vec<RealServer>,
    _back: Option<Lan>,
}

impl Site {
    pub fn start(kind: Kind, sync: bool) -> Result<Site> {
        let global = if sync {
            "[global]\nlvs_sync_daemon = { interface = \"eth0\", id = 7 }\n"
        } else {
            ""
        };
        // What is measured is what ships.
        let plan = Plan { profile: "default", ..plan(NatSite::SUBNET, "eth0")? };
        if kind == Kind::Nat {
            let site = NatSite::of(&plan)?;
            let config = format!("{global}{}", NatSite::config("rr", [1, 1, 1], ""));
            site.cluster.apply("toml", &config)?;
            return Ok(Site { cluster: site.cluster, _real: site.real, _back: Some(site.back) });
        }
        let cluster = Cluster::start(&plan)?;
        let (name, mode) = match kind {
            Kind::Tunnel => ("TUN", Mode::Tunnel),
            Kind::Nat | Kind::Direct => ("DR", Mode::Direct),
        };
        let one = |nth: u16| RealServer::start(&cluster.lan, &format!("rs{nth}"), nth, VIP, mode);
        let real = (11..=13).map(one).collect::<Result<_>>()?;
        cluster.client.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        let servers: String =
            (11..=13).map(|nth| format!("{{ address = \"192.168.1.{nth}:80\" }},")).collect();
        cluster.apply(
            "toml",
            &format!(
                "{global}[instance.{INSTANCE}]\nvirtual_router_id = 51\ninterface = \"eth0\"\n\
                 virtual_ipaddress = [\"{VIP}/24\"]\n[[virtual_server]]\naddress = \"{VIP}:80\"\n\
                 lb_algo = \"rr\"\nlb_kind = \"{name}\"\nreal_server = [{servers}]\n"
            ),
        )?;
        Ok(Site { cluster, _real: real, _back: None })
    }

    /// Puts the site under load, makes the change, and waits until every member is back.
    pub fn suffer(&mut self, change: Change, per_second: usize) -> Result<Seen> {
        let holder = self.cluster.wait_for_holder(INSTANCE)?;
        let client = self.cluster.client.clone();
        until("an answer", LATER, || ask(&client, VIP))?;
        let (stop, survived) = (AtomicBool::new(false), AtomicUsize::new(0));
        let answers = Mutex::new(Vec::new());
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..DOWNLOADS {
                scope.spawn(|| {
                    // The whole of it: a connection that was cut gives less than its length.
                    let whole = client.enter(|| request("/big", DOWNLOAD_WITHIN).is_ok());
                    if whole.is_ok_and(|whole| whole) {
                        survived.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // A thread that waits for its answer holds up no other: each asks once a second.
            let threads = per_second.max(1);
            let every = Duration::from_secs(1) * u32::try_from(threads).unwrap_or(1)
                / u32::try_from(per_second).unwrap_or(1);
            for nth in 0..threads {
                let (stop, answers, failures, client) = (&stop, &answers, &failures, &client);
                let offset =
                    every * u32::try_from(nth).unwrap_or(0) / u32::try_from(threads).unwrap_or(1);
                scope.spawn(move || {
                    client.enter(|| {
                        let mut due = now_ns() + nanos(offset);
                        while !stop.load(Ordering::Relaxed) {
                            wait_until(due);
                            due = (due + nanos(every)).max(now_ns());
                            match request("/", CONNECT_WITHIN) {
                                Ok(()) => lock(answers).push(now_ns()),
                                Err(failure) => lock(failures).push(failure),
                            }
                        }
                    })
                });
            }
            wait_until(now_ns() + nanos(BEFORE));
            let done = self.make(change, holder);
            wait_until(now_ns() + nanos(AFTER));
            stop.store(true, Ordering::Relaxed);
            done
        })?;
        let mut answers = std::mem::take(&mut *lock(&answers));
        answers.sort_unstable();
        let gap = answers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let failures = lock(&failures);
        let count = |kind| failures.iter().filter(|one| **one == kind).count();
        self.restore(change, holder)?;
        Ok(Seen {
            requests: answers.len() + failures.len(),
            silent: count(Failure::Silent),
            refused: count(Failure::Refused),
            cut: count(Failure::Cut),
            // Milliseconds with a fraction: nothing here is near 2^52 ns.
            longest_gap_ms: gap as f64 / 1e6,
            downloads: DOWNLOADS,
            survived: survived.into_inner(),
        })
    }

    fn make(&self, change: Change, holder: usize) -> Result<()> {
        let nodes = self.cluster.nodes();
        match change {
            Change::Kill => self.cluster.daemon(holder)?.kill_tree(),
            Change::Move => {
                let to = nodes[(holder + 1) % nodes.len()].name.clone();
                self.cluster.cli(holder, &["move", INSTANCE, "--to", &to]).map(drop)
            }
            Change::Drain => {
                let name = nodes[holder].name.clone();
                self.cluster.cli(holder, &["drain", &name]).map(drop)
            }
        }
    }

    fn restore(&mut self, change: Change, holder: usize) -> Result<()> {
        match change {
            Change::Kill => {
                self.cluster.mark_down(holder);
                self.cluster.run(holder)?;
            }
            Change::Move => {}
            Change::Drain => {
                let name = self.cluster.nodes()[holder].name.clone();
                self.cluster.cli(holder, &["undrain", &name])?;
            }
        }
        self.cluster.wait_for_voters()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn wait_until(due: u64) {
    std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Silent,
    Refused,
    Cut,
}

/// Asks for a page, and wants all of it.
fn request(path: &str, within: Duration) -> std::result::Result<(), Failure> {
    let address: SocketAddr = ([192, 168, 1, 100], 80).into();
    let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN);
    let mut stream = stream.map_err(|error| {
        let refused = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
        if refused.contains(&error.kind()) { Failure::Refused } else { Failure::Silent }
    })?;
    let mut bytes = Vec::new();
    let read = stream
        .set_read_timeout(Some(within))
        .and_then(|()| {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {VIP}\r\nConnection: close\r\n\r\n")
        })
        .and_then(|()| stream.read_to_end(&mut bytes));
    match read {
        Ok(_) if complete(&bytes).is_some() => Ok(()),
        Ok(_) | Err(_) => Err(Failure::Cut),
    }
}

/// The length of the body, where all of it is there.
fn complete(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let length: usize = length.trim().parse().ok()?;
    (answer.len() - end - 4 == length).then_some(length)
}
