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
            // Packets come out of the tunnel from clients that are reached another way.
            all.push(sysctl("all", "rp_filter", "0"));
            all.push(sysctl(interface, "rp_filter", "0"));
        }
    }
    all.push(Thing::Address { address: vip, interface: interface.to_owned() });
    all
}

fn sysctl(interface: &str, name: &str, value: &str) -> Thing {
    let name = format!("net.ipv4.conf.{interface}.{name}");
    Thing::Sysctl { name, value: value.to_owned() }
}

impl Memory {
    #[must_use]
    pub fn remembers(&self, thing: &Thing) -> bool {
        self.done.iter().any(|one| one.thing == *thing)
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
                let gone = format!("ip {} route del default via {gateway}", family(*gateway));
                let back = self.before.lines();
                let back = back.map(|route| format!("ip {} route add {route}", family(*gateway)));
                std::iter::once(gone).chain(back).collect()
            }
        }
    }
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
        assert!(commands.contains(&"sysctl -w net.ipv4.conf.all.rp_filter=0".to_owned()));
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
                "ip -4 route del default via 10.0.0.254",
                "ip -4 route add default via 10.0.0.1 dev eth0 metric 100",
                "ip -4 route add default via 10.0.0.2 dev eth0",
            ]
        );
    }
}
