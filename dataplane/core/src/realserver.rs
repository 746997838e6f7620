//! What makes a machine a real server of LVS, and what has to be remembered to unmake it.
//!
//! A real server takes packets to the VIP in without ever answering for it by ARP: the VIP is on an
//! interface that nobody asks on, and the others keep silent about it. The address brings its own
//! route, in the kernel's local table, so none is added.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How packets come: as their virtual server forwards them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Dr,
    Tun,
    Nat,
}

/// What one VIP needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    pub mode: Mode,
    /// With [`Mode::Nat`]: the director's address on this side. Absent: the default route stays.
    pub gateway: Option<IpAddr>,
}

/// Something that should be so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// The interface exists: it comes with this module.
    Module {
        name: String,
        interface: String,
    },
    LinkUp(String),
    Sysctl {
        name: String,
        value: String,
    },
    Address {
        address: IpAddr,
        interface: String,
    },
    /// The one default route.
    Gateway(IpAddr),
}

/// Something that was made so, and how it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub thing: Thing,
    /// A setting's value, or routes, a line each.
    pub before: String,
}

/// What is remembered, in the order in which it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The kernel forgets what it was told when the machine boots.
    pub boot: String,
    pub vips: BTreeMap<IpAddr, Use>,
    pub done: Vec<Done>,
}

/// What `vip` needs, in the order in which to make it so: silence comes before the address.
#[must_use]
pub fn things(vip: IpAddr, of: Use) -> Vec<Thing> {
    let (interface, module) = match (of.mode, vip) {
        (Mode::Dr, _) => ("lo", None),
        (Mode::Tun, IpAddr::V4(_)) => ("tunl0", Some("ipip")),
        (Mode::Tun, IpAddr::V6(_)) => ("ip6tnl0", Some("ip6_tunnel")),
        (Mode::Nat, _) => return of.gateway.map(Thing::Gateway).into_iter().collect(),
    };
    let mut all = Vec::new();
    if let Some(name) = module {
        let (name, interface) = (name.to_owned(), interface.to_owned());
        all.push(Thing::Module { name, interface: interface.clone() });
        all.push(Thing::LinkUp(interface));
    }
    // IPv6 asks by neighbour discovery, which has no such settings.
    if vip.is_ipv4() {
        for name in ["all", interface] {
            all.push(sysctl(name, "arp_ignore", "1"));
            all.push(sysctl(name, "arp_announce", "2"));
        }
        if of.mode == Mode::Tun {
            // Packets come out of the tunnel from clients that are reached another way: 1 drops
            // them, 2 takes them in where there is a route to the client, which its answer needs
            // anyway. What counts is the maximum of this and of `all`: with 2 here, `all` may be
            // what it is, and other interfaces keep their filter.
            all.push(sysctl(interface, "rp_filter", "2"));
        }
    }
    all.push(Thing::Address { address: vip, interface: interface.to_owned() });
    all
}

fn sysctl(interface: &str, name: &str, value: &str) -> Thing {
    let name = format!("net.ipv4.conf.{interface}.{name}");
    Thing::Sysctl { name, value: value.to_owned() }
}

/// Whether a setting that counts as `is` does what `wanted` is to do. Of `rp_filter`, what counts
/// is the maximum of the interface's own and of `all`.
#[must_use]
pub fn suffices(name: &str, wanted: &str, is: &str) -> bool {
    let as_good: &[&str] = match name.rsplit('.').next() {
        // 2 wants the asker to be of the same subnet too, 8 is silent altogether.
        Some("arp_ignore") => &["1", "2", "8"],
        Some("rp_filter") => &["0", "2"],
        Some(_) | None => &[],
    };
    is == wanted || as_good.contains(&is)
}

/// A default route without the words that say how it is at the moment.
#[must_use]
pub fn without_state(route: &str) -> String {
    let lasting = |word: &&str| !["linkdown", "dead", "offload", "trap"].contains(word);
    route.split_whitespace().filter(lasting).collect::<Vec<_>>().join(" ")
}

/// Whether `ip route append` makes this route as `ip route show` tells it. It does not where the
/// route has several ways, or another program's hand in it.
#[must_use]
pub fn is_replayable(route: &str) -> bool {
    const WITH_VALUE: [&str; 14] = [
        "via", "dev", "metric", "proto", "scope", "src", "mtu", "advmss", "window", "initcwnd",
        "initrwnd", "hoplimit", "pref", "rtt",
    ];
    let route = without_state(route);
    let mut words = route.split(' ');
    let mut leads_somewhere = false;
    if words.next() != Some("default") {
        return false;
    }
    while let Some(word) = words.next() {
        leads_somewhere |= word == "via" || word == "dev";
        let is_whole = match word {
            "onlink" => true,
            // Of another family than the route, it has one more word.
            "via" => words.next().is_some_and(|by| by.parse::<IpAddr>().is_ok()),
            _ => WITH_VALUE.contains(&word) && words.next().is_some_and(|value| value != "lock"),
        };
        if !is_whole {
            return false;
        }
    }
    leads_somewhere
}

/// Whether a default route leads to this gateway.
#[must_use]
pub fn leads_to(route: &str, gateway: IpAddr) -> bool {
    format!("{route} ").starts_with(&format!("default via {gateway} "))
}

impl Memory {
    /// Notes how something was before it is made so; true where that is new. What was noted before
    /// is over where another's hand has been in it since.
    pub fn note(&mut self, thing: &Thing, before: &str) -> bool {
        let Some(done) = self.done.iter_mut().find(|one| one.thing == *thing) else {
            self.done.push(Done { thing: thing.clone(), before: before.to_owned() });
            return true;
        };
        let now = match thing {
            Thing::Gateway(gateway) => {
                let mut routes: Vec<&str> = before.lines().collect();
                let is_ours = |route: &&str| leads_to(route, *gateway);
                // Half made, or another came: what was there before ours is not seen any more.
                if routes.is_empty() || routes.iter().any(is_ours) {
                    routes.retain(|route| !is_ours(route));
                    let new =
                        routes.into_iter().filter(|one| !done.before.lines().any(|is| is == *one));
                    done.before.lines().chain(new).collect::<Vec<_>>().join("\n")
                } else {
                    before.to_owned()
                }
            }
            Thing::Module { .. }
            | Thing::LinkUp(_)
            | Thing::Sysctl { .. }
            | Thing::Address { .. } => before.to_owned(),
        };
        let is_new = done.before != now;
        done.before = now;
        is_new
    }

    /// Another gateway than this one for `vip`, of its family: that of a VIP, or one that could not
    /// be undone yet; and the VIP to take down first.
    #[must_use]
    pub fn other_gateway(&self, vip: IpAddr, gateway: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let used = self.vips.iter().filter_map(|(vip, of)| Some((*vip, of.gateway?)));
        let left = self.done.iter().filter_map(|done| match &done.thing {
            Thing::Gateway(is) => Some((vip, *is)),
            Thing::Module { .. }
            | Thing::LinkUp(_)
            | Thing::Sysctl { .. }
            | Thing::Address { .. } => None,
        });
        let other =
            |(_, is): &(IpAddr, IpAddr)| *is != gateway && is.is_ipv4() == gateway.is_ipv4();
        used.chain(left).find(other)
    }

    /// What was done and no VIP needs any more, last things first.
    #[must_use]
    pub fn superfluous(&self) -> Vec<Done> {
        let needed: Vec<Thing> = self.vips.iter().flat_map(|(vip, of)| things(*vip, *of)).collect();
        let superfluous = self.done.iter().filter(|one| !needed.contains(&one.thing));
        superfluous.rev().cloned().collect()
    }
}

impl Done {
    /// The commands that undo it.
    #[must_use]
    pub fn undoing(&self) -> Vec<String> {
        match &self.thing {
            // Other tunnels may use it by now.
            Thing::Module { .. } => Vec::new(),
            Thing::LinkUp(interface) => vec![format!("ip link set {interface} down")],
            Thing::Sysctl { name, .. } => vec![format!("sysctl -w {name}={}", self.before)],
            Thing::Address { address, interface } => {
                vec![format!("ip addr del {address}/{} dev {interface}", length(*address))]
            }
            Thing::Gateway(gateway) => {
                let back = self.before.lines();
                let back = back.map(|route| giving_back(*gateway, route));
                // First the old ones: this machine is never without.
                let gone = format!("ip {} route del default via {gateway}", family(*gateway));
                back.chain([gone]).collect()
            }
        }
    }
}

/// The command that gives an old default route back, beside ours.
#[must_use]
pub fn giving_back(gateway: IpAddr, route: &str) -> String {
    format!("ip {} route append {route}", family(gateway))
}

fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "-4" } else { "-6" }
}

/// The command that makes it so.
impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module { name, .. } => write!(f, "modprobe {name}"),
            Self::LinkUp(interface) => write!(f, "ip link set {interface} up"),
            Self::Sysctl { name, value } => write!(f, "sysctl -w {name}={value}"),
            Self::Address { address, interface } => {
                let nodad = if address.is_ipv6() { " nodad" } else { "" };
                write!(f, "ip addr add {address}/{} dev {interface}{nodad}", length(*address))
            }
            Self::Gateway(gateway) => {
                write!(f, "ip {} route replace default via {gateway}", family(*gateway))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn commands(address: &str, mode: Mode) -> Vec<String> {
        let all = things(vip(address), Use { mode, gateway: None });
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn silence_comes_before_the_address() {
        assert_eq!(
            commands("192.168.188.120", Mode::Dr),
            [
                "sysctl -w net.ipv4.conf.all.arp_ignore=1",
                "sysctl -w net.ipv4.conf.all.arp_announce=2",
                "sysctl -w net.ipv4.conf.lo.arp_ignore=1",
                "sysctl -w net.ipv4.conf.lo.arp_announce=2",
                "ip addr add 192.168.188.120/32 dev lo",
            ]
        );
        assert_eq!(commands("fd00::1", Mode::Dr), ["ip addr add fd00::1/128 dev lo nodad"]);
        assert!(commands("10.0.0.1", Mode::Nat).is_empty());
    }

    #[test]
    fn a_tunnel_is_there_and_up_and_takes_packets_from_anywhere() {
        let commands = commands("192.168.1.184", Mode::Tun);
        assert_eq!(commands[..2], ["modprobe ipip", "ip link set tunl0 up"]);
        assert!(commands.contains(&"sysctl -w net.ipv4.conf.tunl0.rp_filter=2".to_owned()));
        assert!(!commands.iter().any(|one| one.contains("all.rp_filter")), "others keep theirs");
        assert_eq!(commands.last().expect("some"), "ip addr add 192.168.1.184/32 dev tunl0");
    }

    #[test]
    fn what_another_vip_needs_stays() {
        let (one, two) = (vip("10.0.0.1"), vip("10.0.0.2"));
        let of = Use { mode: Mode::Dr, gateway: None };
        let done = |thing| Done { thing, before: "0".to_owned() };
        let mut all: Vec<Done> = things(one, of).into_iter().map(done).collect();
        all.extend(things(two, of).into_iter().last().map(done));
        let mut memory = Memory { boot: String::new(), vips: [(two, of)].into(), done: all };
        let left: Vec<String> = memory.superfluous().iter().flat_map(Done::undoing).collect();
        assert_eq!(left, ["ip addr del 10.0.0.1/32 dev lo"]);
        memory.vips.clear();
        let left: Vec<String> = memory.superfluous().iter().flat_map(Done::undoing).collect();
        assert_eq!(left[..2], ["ip addr del 10.0.0.2/32 dev lo", "ip addr del 10.0.0.1/32 dev lo"]);
        assert_eq!(left.last().expect("some"), "sysctl -w net.ipv4.conf.all.arp_ignore=0");
    }

    #[test]
    fn a_gateway_gives_the_old_routes_back() {
        let before = "default via 10.0.0.1 dev eth0 metric 100\ndefault via 10.0.0.2 dev eth0";
        let done = Done { thing: Thing::Gateway(vip("10.0.0.254")), before: before.to_owned() };
        assert_eq!(
            done.undoing(),
            [
                "ip -4 route append default via 10.0.0.1 dev eth0 metric 100",
                "ip -4 route append default via 10.0.0.2 dev eth0",
                "ip -4 route del default via 10.0.0.254",
            ]
        );
    }

    #[test]
    fn a_route_that_can_not_be_given_back_is_known() {
        for good in [
            "default via 10.0.0.1 dev eth0",
            "default via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.7 metric 100 linkdown",
            "default dev ppp0 scope link dead linkdown",
            "default via 10.0.0.1 dev eth0 onlink mtu 1400",
            "default via fe80::1 dev eth0 metric 1024 pref medium",
        ] {
            assert!(is_replayable(good), "{good}");
        }
        for bad in [
            "default proto static",
            "nexthop via 10.0.0.1 dev eth0 weight 1",
            "default via fe80::1 dev eth0 proto ra metric 1024 expires 1790sec pref medium",
            "default nhid 7 via 10.0.0.1 dev eth0",
            "default via inet6 fe80::1 dev eth0",
            "unreachable default dev lo metric 4294967295 error -101",
            "default via 10.0.0.1 dev eth0 mtu lock 1400",
        ] {
            assert!(!is_replayable(bad), "{bad}");
        }
        let shown = "default via 10.0.0.1 dev eth0 dead linkdown";
        assert_eq!(without_state(shown), "default via 10.0.0.1 dev eth0");
    }

    #[test]
    fn stricter_settings_are_left() {
        let suffices = |name: &str, wanted: &str| -> String {
            let name = format!("net.ipv4.conf.all.{name}");
            (0..10).map(|is| is.to_string()).filter(|is| suffices(&name, wanted, is)).collect()
        };
        assert_eq!(suffices("arp_ignore", "1"), "128");
        assert_eq!(suffices("arp_announce", "2"), "2");
        assert_eq!(suffices("rp_filter", "2"), "02");
    }

    #[test]
    fn what_another_hand_changed_is_noted_anew() {
        let mut memory = Memory::default();
        let setting = sysctl("all", "arp_ignore", "1");
        assert!(memory.note(&setting, "0") && !memory.note(&setting, "0"));
        assert!(memory.note(&setting, "3"));
        assert_eq!(memory.done, [Done { thing: setting, before: "3".to_owned() }]);

        let gateway = Thing::Gateway(vip("10.0.0.254"));
        let mut memory = Memory::default();
        let before = |memory: &Memory| memory.done[0].before.clone();
        memory.note(&gateway, "default via 10.0.0.1 dev eth0");
        memory.note(&gateway, "");
        assert_eq!(before(&memory), "default via 10.0.0.1 dev eth0", "the link was down");
        memory.note(&gateway, "default via 10.0.0.254 dev eth0\ndefault via 10.0.0.2 dev eth1");
        assert_eq!(before(&memory), "default via 10.0.0.1 dev eth0\ndefault via 10.0.0.2 dev eth1");
        memory.note(&gateway, "default via 10.0.0.3 dev eth0");
        assert_eq!(before(&memory), "default via 10.0.0.3 dev eth0");
    }

    #[test]
    fn a_machine_has_one_gateway() {
        let of = |gateway: &str| Use { mode: Mode::Nat, gateway: Some(vip(gateway)) };
        let vips = [(vip("10.0.0.1"), of("10.1.0.254")), (vip("fd00::1"), of("fd00::fe"))];
        let mut memory = Memory { vips: vips.into(), ..Memory::default() };
        let another = vip("10.0.0.2");
        assert_eq!(memory.other_gateway(another, vip("10.1.0.254")), None);
        let other = Some((vip("10.0.0.1"), vip("10.1.0.254")));
        assert_eq!(memory.other_gateway(another, vip("10.1.0.253")), other);
        memory.note(&Thing::Gateway(vip("10.1.0.254")), "");
        memory.vips.clear();
        let left = Some((another, vip("10.1.0.254")));
        assert_eq!(memory.other_gateway(another, vip("10.1.0.253")), left);
    }
}
