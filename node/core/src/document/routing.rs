//! Routes and rules as a line of words, as `ip route add` and keepalived have them.

use std::net::IpAddr;
use std::str::FromStr;

use leasehold_model::{Network, Route, RouteKind, Rule, Scope};

/// What is wrong at one word of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// keepalived knows the word. Where it says what the line is about, the line is void without.
    Unserved {
        word: usize,
        void: bool,
    },
    Wrong {
        word: usize,
        message: String,
        hint: &'static str,
    },
}

/// Followed by a value, and of no weight for where packets go.
const TUNING: [&str; 23] = [
    "proto",
    "protocol",
    "hoplimit",
    "advmss",
    "rtt",
    "rttvar",
    "reordering",
    "window",
    "cwnd",
    "ssthresh",
    "realms",
    "rto_min",
    "initcwnd",
    "initrwnd",
    "quickack",
    "congctl",
    "features",
    "pref",
    "expires",
    "ttl-propagate",
    "weight",
    "track_group",
    "suppress_ifgroup",
];
const FLAGS: [&str; 5] = ["add", "append", "prepend", "fastopen_no_cookie", "no_track"];
/// Without these a route would be another.
const ROUTE_VOID: [&str; 9] =
    ["or", "nexthop", "nhid", "encap", "vrf", "tos", "dsfield", "from", "as"];
const RULE_VOID: [&str; 15] = [
    "not",
    "tos",
    "dsfield",
    "goto",
    "nop",
    "type",
    "realms",
    "suppress_prefixlength",
    "tunnel-id",
    "uidrange",
    "l3mdev",
    "ipproto",
    "sport",
    "dport",
    "suppress_ifgroup",
];
const ROUTE_TYPES: [&str; 8] =
    ["local", "broadcast", "multicast", "throw", "nat", "anycast", "xresolve", "prefix"];

struct Line<'a> {
    words: &'a [&'a str],
    next: usize,
    problems: Vec<Problem>,
}

impl<'a> Line<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    fn wrong(&mut self, message: String, hint: &'static str) {
        self.problems.push(Problem::Wrong { word: self.next.saturating_sub(1), message, hint });
    }

    /// The value of the word that was just taken.
    fn value<T>(
        &mut self,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let option = self.words[self.next - 1];
        let Some(text) = self.take() else {
            self.wrong(format!("{option} has no value"), wanted);
            return None;
        };
        let value = read(text);
        if value.is_none() {
            self.wrong(format!("{option} {text} is not {wanted}"), "");
        }
        value
    }

    fn unserved(&mut self, void: bool) {
        self.problems.push(Problem::Unserved { word: self.next - 1, void });
    }

    /// A word that a route and a rule have in common; whether it is one.
    fn common(&mut self, word: &str) -> bool {
        if TUNING.contains(&word) {
            self.unserved(false);
            self.next += 1;
        } else if FLAGS.contains(&word) {
            self.unserved(false);
        } else {
            return false;
        }
        true
    }

    /// Whether what was read is good for anything.
    fn is_void(&self) -> bool {
        self.problems.iter().any(|problem| match problem {
            Problem::Unserved { void, .. } => *void,
            Problem::Wrong { .. } => true,
        })
    }
}

/// `10.0.0.0/8 via 192.0.2.1 dev eth0`, `blackhole 10.0.0.0/8`, `default via fd00::1`.
pub(crate) fn route(words: &[&str]) -> (Option<Route>, Vec<Problem>) {
    let mut line = Line { words, next: 0, problems: Vec::new() };
    let mut route = Route::default();
    let (mut named, mut v6) = (false, false);
    while let Some(word) = line.take() {
        match word {
            "to" => {
                let to = line.value("a network such as 10.0.0.0/8", destination);
                (route.to, named) = (to.flatten(), true);
            }
            // Said where the destination is the default, and has no family to tell by.
            "inet" => {}
            "inet6" => v6 = true,
            "via" | "gw" => {
                if let Some(&("inet" | "inet6")) = words.get(line.next) {
                    line.next += 1;
                }
                route.via = line.value("an IP address", parsed);
            }
            "src" => route.src = line.value("an IP address", parsed),
            "dev" | "oif" => route.dev = line.value("an interface", name),
            "table" => route.table = line.value("a table's number", table),
            "metric" | "priority" | "preference" => {
                route.metric = line.value("a number", parsed);
            }
            "scope" => route.scope = line.value("global, site, link or host", scope),
            "mtu" => {
                if words.get(line.next) == Some(&"lock") {
                    line.next += 1;
                }
                route.mtu = line.value("a number of bytes", parsed);
            }
            "onlink" => route.onlink = true,
            "type" => {
                if let Some(kind) = words.get(line.next).and_then(|word| kind(word)) {
                    (route.kind, line.next) = (kind, line.next + 1);
                } else {
                    line.unserved(true);
                    line.next += 1;
                }
            }
            word if ROUTE_VOID.contains(&word) || ROUTE_TYPES.contains(&word) => {
                line.unserved(true);
                break;
            }
            word => {
                if let Some(kind) = kind(word) {
                    route.kind = kind;
                } else if let (Some(to), false) = (destination(word), named) {
                    (route.to, named) = (to, true);
                } else if !line.common(word) {
                    // What follows may be its value: to blame that too would only confuse.
                    line.wrong(format!("{word:?} is no word of a route"), ROUTE_WORDS);
                    break;
                }
            }
        }
    }
    if !named && !line.is_void() {
        line.next = 1;
        line.wrong("the route has no destination".to_owned(), "a network, or default");
    }
    if v6 && route.to.is_none() && route.via.is_none() {
        route.to = network("::/0");
    }
    super::canonical::route(&mut route);
    ((!line.is_void()).then_some(route), line.problems)
}

pub(crate) const ROUTE_WORDS: &str =
    "to, via, dev, src, table, metric, scope, mtu, onlink, blackhole, unreachable and prohibit";
pub(crate) const RULE_WORDS: &str = "from, to, iif, oif, fwmark, priority and table";

/// `from 10.0.0.0/8 table 100 priority 1000`.
pub(crate) fn rule(words: &[&str]) -> (Option<Rule>, Vec<Problem>) {
    let mut line = Line { words, next: 0, problems: Vec::new() };
    let mut rule = Rule::default();
    let (mut to_table, mut v6) = (None, false);
    while let Some(word) = line.take() {
        match word {
            "from" => rule.from = line.value("a network", destination).flatten(),
            "inet" => {}
            "inet6" => v6 = true,
            "to" => rule.to = line.value("a network", destination).flatten(),
            "iif" | "dev" => rule.iif = line.value("an interface", name),
            "oif" => rule.oif = line.value("an interface", name),
            "fwmark" => {
                let masked = words.get(line.next).is_some_and(|word| word.contains('/'));
                if masked {
                    line.unserved(true);
                    line.next += 1;
                } else {
                    rule.fwmark = line.value("a number", mark);
                }
            }
            "priority" | "order" | "preference" | "pref" => {
                rule.priority = line.value("a number", parsed);
            }
            "table" | "lookup" => to_table = line.value("a table's number", table),
            word if RULE_VOID.contains(&word) => {
                line.unserved(true);
                break;
            }
            word => {
                if !line.common(word) {
                    line.wrong(format!("{word:?} is no word of a rule"), RULE_WORDS);
                    break;
                }
            }
        }
    }
    if v6 && rule.from.is_none() && rule.to.is_none() {
        rule.from = network("::/0");
    }
    match to_table {
        Some(table) => rule.table = table,
        None if line.is_void() => {}
        None => {
            line.next = 1;
            line.wrong("the rule has no table".to_owned(), "table 100");
        }
    }
    ((!line.is_void()).then_some(rule), line.problems)
}

/// `10.0.0.0/8`, or one address.
pub(crate) fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some(Network { address, prefix })
}

/// A network, or none for `default` and `all`.
#[expect(clippy::option_option, reason = "no destination is a destination too: the default")]
pub(crate) fn destination(text: &str) -> Option<Option<Network>> {
    match text {
        "default" | "all" => Some(None),
        text => network(text).map(Some),
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn name(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The kernel's three have names; others are in a file of each machine.
pub(crate) fn table(text: &str) -> Option<u32> {
    match text {
        "local" => Some(255),
        "main" => Some(254),
        "default" => Some(253),
        number => number.parse().ok().filter(|number| *number != 0),
    }
}

fn mark(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn scope(text: &str) -> Option<Scope> {
    match text {
        "global" | "0" => Some(Scope::Global),
        "site" | "200" => Some(Scope::Site),
        "link" | "253" => Some(Scope::Link),
        "host" | "254" => Some(Scope::Host),
        _ => None,
    }
}

fn kind(text: &str) -> Option<RouteKind> {
    match text {
        "unicast" => Some(RouteKind::Unicast),
        "blackhole" => Some(RouteKind::Blackhole),
        "unreachable" => Some(RouteKind::Unreachable),
        "prohibit" => Some(RouteKind::Prohibit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Option<Route>, Vec<Problem>) {
        route(&line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn a_route_is_read_whatever_the_order_of_its_words() {
        let expected = Route {
            to: network("10.0.0.0/8"),
            via: "192.0.2.1".parse().ok(),
            dev: Some("eth1".to_owned()),
            metric: Some(5),
            ..Route::default()
        };
        for line in [
            "10.0.0.0/8 via 192.0.2.1 dev eth1 metric 5",
            "metric 5 to 10.0.0.0/8 dev eth1 via inet 192.0.2.1",
            "unicast 10.0.0.0/8 priority 5 oif eth1 via 192.0.2.1",
        ] {
            assert_eq!(read(line), (Some(expected.clone()), vec![]), "{line}");
        }
    }

    #[test]
    fn a_default_route_has_no_destination() {
        for line in ["default via 192.0.2.1", "0.0.0.0/0 via 192.0.2.1"] {
            assert_eq!(read(line).0.map(|route| route.to), Some(None), "{line}");
        }
        assert_eq!(read("::/0 dev eth0").0.and_then(|route| route.to), network("::/0"));
    }

    #[test]
    fn words_that_would_make_it_another_route_void_it() {
        let (route, problems) = read("10.0.0.0/8 via 192.0.2.1 or 192.0.2.2");
        assert_eq!((route, problems), (None, vec![Problem::Unserved { word: 3, void: true }]));
        let (route, problems) = read("10.0.0.0/8 via 192.0.2.1 hoplimit 9 mtu 1400");
        assert_eq!(problems, [Problem::Unserved { word: 3, void: false }]);
        assert_eq!(route.and_then(|route| route.mtu), Some(1400));
    }

    #[test]
    fn a_rule_that_would_match_more_is_void() {
        let read = |line: &str| rule(&line.split(' ').collect::<Vec<_>>());
        let (good, problems) = read("from 10.0.0.0/8 fwmark 0x10 lookup main order 7");
        let expected = Rule {
            from: network("10.0.0.0/8"),
            fwmark: Some(16),
            priority: Some(7),
            table: 254,
            ..Rule::default()
        };
        assert_eq!((good, problems), (Some(expected), vec![]));
        for line in ["from 10.0.0.1 fwmark 1/3 table 5", "not from 10.0.0.1 table 5"] {
            assert_eq!(read(line).0, None, "{line}");
        }
        let told = read("from 10.0.0.1").1;
        assert!(matches!(&told[..], [Problem::Wrong { message, .. }] if message.contains("table")));
    }
}
