//! Services as an nftables ruleset: for kernels without IPVS.
//!
//! Addresses are translated, there and back, by the kernel's connection tracking. A real server
//! is chosen for the first packet of a connection: in turn, in turn by weight, or by a hash of the
//! client's address, which every director computes alike.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Forward, Protocol};

use super::{Key, Server, Service, Settings, Table};

/// Every director hashes alike.
const SEED: &str = "0x1ea5e401";

/// Weights whose sum is above this one are drawn by lot instead of dealt out in turn.
const DEALT: u32 = 1024;

/// Why a service can't be served by translating addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unservable {
    Fwmark,
    Scheduler,
    Flags,
    OnePacket,
    Engine,
    Forward,
    Limit,
}

/// Why nftables can't serve it, if it can't.
#[must_use]
pub fn unservable(key: &Key, service: &Service) -> Option<Unservable> {
    let Settings { scheduler, flags, one_packet, persistence } = &service.settings;
    let servers = &service.servers;
    if matches!(key, Key::Fwmark { .. }) {
        Some(Unservable::Fwmark)
    } else if !["rr", "wrr", "sh"].contains(&scheduler.as_str()) {
        Some(Unservable::Scheduler)
    } else if !flags.is_none() {
        Some(Unservable::Flags)
    } else if *one_packet {
        Some(Unservable::OnePacket)
    } else if persistence.as_ref().is_some_and(|one| one.engine.is_some()) {
        Some(Unservable::Engine)
    } else if servers.iter().any(|one| one.forward != Forward::Nat) {
        Some(Unservable::Forward)
    } else if servers.iter().any(|one| one.upper != 0 || one.lower != 0) {
        Some(Unservable::Limit)
    } else {
        None
    }
}

/// The services of `table` that are refused, where it is refused as a whole, and why; what is
/// left of it without them is taken.
///
/// `refusal` is asked `tries` times at most. What could not be tried then counts as refused.
///
/// # Errors
/// Where `refusal` can't say.
pub fn refused<E>(
    table: &Table,
    tries: usize,
    mut refusal: impl FnMut(&Table) -> Result<Option<String>, E>,
) -> Result<BTreeMap<Key, String>, E> {
    let mut left = tries;
    let mut ask = |table: &Table| {
        let may = left > 0;
        left = left.saturating_sub(1);
        if may { refusal(table) } else { Ok(Some(UNTRIED.to_owned())) }
    };
    let mut good = Table::new();
    let mut rest: Vec<Key> = table.keys().copied().collect();
    let mut bad = BTreeMap::new();
    while !rest.is_empty() {
        // `rest` begins with what is good and ends where it is known to be bad.
        let with = |good: &Table, keys: &[Key]| {
            let more = keys.iter().filter_map(|key| Some((*key, table.get(key)?.clone())));
            good.clone().into_iter().chain(more).collect::<Table>()
        };
        let Some(mut why) = ask(&with(&good, &rest))? else { return Ok(bad) };
        let (mut taken, mut not_taken) = (0, rest.len());
        while not_taken - taken > 1 {
            let middle = taken.midpoint(not_taken);
            match ask(&with(&good, &rest[..middle]))? {
                None => taken = middle,
                Some(said) => (not_taken, why) = (middle, said),
            }
        }
        good = with(&good, &rest[..taken]);
        bad.insert(rest[taken], why);
        rest.drain(..=taken);
    }
    Ok(bad)
}

const UNTRIED: &str = "too many services are refused: this one was not tried";

/// One transaction that replaces the table `name` by these services; what can't be served is left
/// out. Where nothing is left, it removes the table.
#[must_use]
pub fn ruleset(name: &str, table: &Table) -> String {
    let served = || table.iter().filter(|(key, one)| unservable(key, one).is_none());
    let mut text = format!("add table inet {name}\ndelete table inet {name}\n");
    if served().next().is_none() {
        return text;
    }
    let mut entrances = Entrances::default();
    let mut chains = String::new();
    for (index, (key, service)) in served().enumerate() {
        let Key::Address { protocol, address, port } = *key else { continue };
        let open: Vec<&Server> = service.servers.iter().filter(|one| one.weight > 0).collect();
        // Without an entrance, this machine itself refuses the connection.
        if open.is_empty() {
            continue;
        }
        entrances.add(protocol, address, port, index);
        for (nth, server) in open.iter().enumerate() {
            let to = translation(protocol, server.address);
            line(&mut chains, &format!("\tchain s{index}-{nth} {{\n\t\t{to}\n\t}}"));
        }
        let choice = choice(&service.settings, address, index, &open);
        line(&mut chains, &format!("\tchain s{index} {{\n\t\t{choice}\n\t}}"));
    }
    line(&mut text, &format!("table inet {name} {{"));
    text.push_str(&chains);
    text.push_str(&entrances.maps());
    for (chain, hook) in [
        ("prerouting", "type nat hook prerouting priority dstnat; policy accept;"),
        // Connections that this machine itself makes.
        ("output", "type nat hook output priority -100; policy accept;"),
    ] {
        line(&mut text, &format!("\tchain {chain} {{\n\t\t{hook}\n{LOOKUPS}\t}}"));
    }
    line(&mut text, "}");
    text
}

/// One look each, however many services there are.
const LOOKUPS: &str = "\t\tmeta l4proto . ip daddr . th dport vmap @v4\n\
                       \t\tmeta l4proto . ip daddr vmap @v4-all\n\
                       \t\tmeta l4proto . ip6 daddr . th dport vmap @v6\n\
                       \t\tmeta l4proto . ip6 daddr vmap @v6-all\n";

fn line(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}

fn translation(protocol: Protocol, to: SocketAddr) -> String {
    let (family, ip) = match to.ip() {
        IpAddr::V4(ip) => ("ip", ip.to_string()),
        IpAddr::V6(ip) => ("ip6", format!("[{ip}]")),
    };
    let to = match to.port() {
        // The port that the client asked for.
        0 => to.ip().to_string(),
        port => format!("{ip}:{port}"),
    };
    format!("meta l4proto {} counter dnat {family} to {to}", protocol.name())
}

/// Which of the open servers gets a connection.
fn choice(settings: &Settings, vip: IpAddr, index: usize, open: &[&Server]) -> String {
    let weighted = settings.scheduler != "rr";
    let weights = reduced(open, weighted);
    let sum: u32 = weights.iter().sum();
    let hashed = settings.scheduler == "sh" || settings.persistence.is_some();
    let number = if hashed {
        let source = if vip.is_ipv4() { "ip saddr" } else { "ip6 saddr" };
        format!("jhash {source} mod {sum} seed {SEED}")
    } else if sum <= DEALT {
        format!("numgen inc mod {sum}")
    } else {
        format!("numgen random mod {sum}")
    };
    let elements = if hashed || sum > DEALT { ranges(&weights) } else { dealt(&weights) };
    let to = |(numbers, nth): (String, usize)| format!("{numbers} : goto s{index}-{nth}");
    let elements: Vec<String> = elements.into_iter().map(to).collect();
    format!("{number} vmap {{ {} }}", elements.join(", "))
}

/// Without their common divisor; all alike where weights do not count.
fn reduced(open: &[&Server], weighted: bool) -> Vec<u32> {
    if !weighted {
        return vec![1; open.len()];
    }
    let divisor = open.iter().fold(0, |so_far, one| common(so_far, one.weight)).max(1);
    open.iter().map(|one| one.weight / divisor).collect()
}

fn common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common(b, a % b) }
}

/// The first numbers to the first server, the next ones to the next.
fn ranges(weights: &[u32]) -> Vec<(String, usize)> {
    let mut from = 0;
    let mut all = Vec::new();
    for (nth, weight) in weights.iter().enumerate() {
        let last = from + weight - 1;
        let numbers = if from == last { from.to_string() } else { format!("{from}-{last}") };
        all.push((numbers, nth));
        from = last + 1;
    }
    all
}

/// One number each, the servers mixed as evenly as their weights allow: the one furthest behind
/// its share comes next.
fn dealt(weights: &[u32]) -> Vec<(String, usize)> {
    let sum: i64 = weights.iter().map(|one| i64::from(*one)).sum();
    let mut behind = vec![0_i64; weights.len()];
    let mut all = Vec::new();
    for number in 0..sum {
        for (behind, weight) in behind.iter_mut().zip(weights) {
            *behind += i64::from(*weight);
        }
        let most = behind.iter().copied().max().unwrap_or(0);
        let nth = behind.iter().position(|one| *one == most).unwrap_or(0);
        behind[nth] -= sum;
        all.push((number.to_string(), nth));
    }
    all
}

/// What leads to which service.
#[derive(Default)]
struct Entrances {
    v4: Vec<String>,
    v4_all: Vec<String>,
    v6: Vec<String>,
    v6_all: Vec<String>,
}

impl Entrances {
    fn add(&mut self, protocol: Protocol, address: IpAddr, port: u16, index: usize) {
        let protocol = protocol.name();
        let (list, element) = match (address, port) {
            (IpAddr::V4(ip), 0) => (&mut self.v4_all, format!("{protocol} . {ip}")),
            (IpAddr::V4(ip), port) => (&mut self.v4, format!("{protocol} . {ip} . {port}")),
            (IpAddr::V6(ip), 0) => (&mut self.v6_all, format!("{protocol} . {ip}")),
            (IpAddr::V6(ip), port) => (&mut self.v6, format!("{protocol} . {ip} . {port}")),
        };
        list.push(format!("{element} : goto s{index}"));
    }

    fn maps(&self) -> String {
        let maps = [
            ("v4", "inet_proto . ipv4_addr . inet_service", &self.v4),
            ("v4-all", "inet_proto . ipv4_addr", &self.v4_all),
            ("v6", "inet_proto . ipv6_addr . inet_service", &self.v6),
            ("v6-all", "inet_proto . ipv6_addr", &self.v6_all),
        ];
        let mut text = String::new();
        for (name, kind, elements) in maps {
            line(&mut text, &format!("\tmap {name} {{\n\t\ttype {kind} : verdict"));
            if !elements.is_empty() {
                line(&mut text, &format!("\t\telements = {{ {} }}", elements.join(", ")));
            }
            line(&mut text, "\t}");
        }
        text
    }
}

impl fmt::Display for Unservable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fwmark => "nftables can't serve a firewall mark",
            Self::Scheduler => "nftables has the schedulers rr, wrr and sh only",
            Self::Flags => "nftables has no scheduler flags",
            Self::OnePacket => "nftables always tracks connections",
            Self::Engine => "nftables reads no call identifiers",
            Self::Forward => "nftables forwards by NAT only",
            Self::Limit => "nftables counts no connections: it has no limits",
        })
    }
}
