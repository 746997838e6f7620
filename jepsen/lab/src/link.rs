//! A LAN: a bridge in a namespace of its own, hosts plugged into it, and the faults between them.
//!
//! The bridge never touches the stack of the machine that runs the test, and every interface has
//! a namespace to itself, so names such as `eth0` never collide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::{Cut, Loss, Traffic, ruleset};
use crate::observer::{Observer, Settings};
use crate::owner::next_number;
use crate::relay::{Manners, Relay, Route};
use crate::subnet::{Subnet4, Subnet6};
use crate::{Host, LabError, Mac, Result, until};

/// How many addresses an observer asks from: with probes every 2 ms, 128 ms of unique questions.
const ASKERS: usize = 64;

/// A switched network.
#[derive(Debug)]
pub struct Lan {
    bridge: Host,
    number: u8,
    v4: Subnet4,
    v6: Option<Subnet6>,
    wiring: Mutex<Wiring>,
}

#[derive(Debug, Default)]
struct Wiring {
    ports: BTreeMap<String, Plug>,
    cuts: BTreeSet<Cut>,
    losses: Vec<Loss>,
    /// What passes by a relay, and so not by the bridge: once for each relay.
    relayed: Vec<Cut>,
    down: BTreeSet<(String, End)>,
}

/// A host's cable.
#[derive(Clone, Debug)]
struct Plug {
    host: Host,
    /// The bridge's end.
    name: String,
    port: Port,
}

/// A host's place in a LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The interface's name in the host.
    pub interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// Chosen properties of a port.
#[derive(Clone, Debug, Default)]
pub struct PortSpec {
    /// A chosen hardware address; otherwise one made from LAN and number.
    pub mac: Option<Mac>,
    /// No IPv4 address.
    pub without_v4: bool,
    /// No IPv6 address.
    pub without_v6: bool,
}

/// Which end of a cable goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The host's interface is set down by its administrator; IPv6 addresses and routes go.
    Host,
    /// The cable is pulled at the switch: the host sees the loss of carrier.
    Bridge,
}

impl Lan {
    /// Makes a bridge. `v4` and `v6` are subnets such as `10.77.0.0/24` and `fd77::/64`.
    pub fn new(label: &str, v4: &str, v6: Option<&str>) -> Result<Lan> {
        let (v4, v6) = (v4.parse()?, v6.map(str::parse).transpose()?);
        let bridge = Host::new(label)?;
        bridge.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        // Snooping would hold back the multicast that VRRP and neighbour discovery live on.
        bridge.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")?;
        bridge.ip("link set br0 up")?;
        let number = (next_number() % 256) as u8;
        Ok(Lan { bridge, number, v4, v6, wiring: Mutex::default() })
    }

    /// Plugs `host` in, with the subnet's `nth` addresses on `interface`.
    pub fn attach(&self, host: &Host, interface: &str, nth: u16) -> Result<Port> {
        self.attach_with(host, interface, nth, &PortSpec::default())
    }

    /// Plugs `host` in with chosen properties, and returns when frames pass.
    pub fn attach_with(
        &self,
        host: &Host,
        interface: &str,
        nth: u16,
        spec: &PortSpec,
    ) -> Result<Port> {
        let [high, low] = nth.to_be_bytes();
        let mac = spec.mac.unwrap_or(Mac([0x02, 0x4c, 0x48, self.number, high, low]));
        let name = format!("port{nth}");
        let (v4, v6) = (self.v4.nth(nth.into()), self.v6.map(|v6| v6.nth(nth.into())));
        let port = Port {
            interface: interface.to_owned(),
            mac,
            v4: (!spec.without_v4).then_some(v4),
            v6: v6.filter(|_| !spec.without_v6),
        };
        // No other host of the testbed claims these addresses: detection only costs a second.
        host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        self.bridge.ip_batch(&[
            format!(
                "link add {name} type veth peer name {interface} address {mac} netns {}",
                host.namespace()
            ),
            format!("link set {name} master br0 up"),
        ])?;
        let mut setup = vec![format!("link set {interface} up")];
        if let Some(v4) = port.v4 {
            setup.push(format!("addr add {v4}/{} dev {interface} brd +", self.v4.length));
        }
        if let (Some(v6), Some(subnet)) = (port.v6, self.v6) {
            setup.push(format!("addr add {v6}/{} dev {interface} nodad", subnet.length));
        }
        host.ip_batch(&setup)?;
        let plug = Plug { host: host.clone(), name, port: port.clone() };
        self.wait_for_carrier(&plug)?;
        self.wiring().ports.insert(host.namespace().to_owned(), plug);
        Ok(port)
    }

    /// The place of `host` in this LAN.
    pub fn port(&self, host: &Host) -> Result<Port> {
        Ok(self.plug(host)?.port)
    }

    /// The bridge's own namespace, for `tcpdump` and the like.
    pub fn bridge(&self) -> &Host {
        &self.bridge
    }

    /// Watches `vips` from `host`.
    ///
    /// Give the observer a host of its own: the answers it draws also refresh its kernel's
    /// neighbour table, and would hide a lost announcement from a client in the same host.
    pub fn observe(&self, host: &Host, vips: &[IpAddr]) -> Result<Observer> {
        let interface = self.port(host)?.interface;
        let askers = self.unused(ASKERS, vips);
        Observer::start(host, Settings { askers, ..Settings::new(&interface, vips) })
    }

    /// Pings `vips` from `host` every few milliseconds: what a client there feels.
    pub fn observe_echo(&self, host: &Host, vips: &[IpAddr]) -> Result<Observer> {
        Observer::start_echo(host, Settings::new(&self.port(host)?.interface, vips))
    }

    /// Addresses of the subnet that belong neither to a host nor to `reserved`.
    pub fn unused(&self, count: usize, reserved: &[IpAddr]) -> Vec<Ipv4Addr> {
        let used: BTreeSet<Ipv4Addr> =
            self.wiring().ports.values().filter_map(|plug| plug.port.v4).collect();
        let reserved: BTreeSet<&IpAddr> = reserved.iter().collect();
        self.v4
            .top_down()
            .filter(|address| !used.contains(address) && !reserved.contains(&IpAddr::V4(*address)))
            .take(count)
            .collect()
    }

    /// Takes one end of a host's cable down.
    pub fn link_down(&self, host: &Host, end: End) -> Result<()> {
        let plug = self.plug(host)?;
        plug.set(&self.bridge, end, "down")?;
        self.wiring().down.insert((host.namespace().to_owned(), end));
        Ok(())
    }

    /// Takes it up again and returns when frames pass, unless the other end is still down.
    pub fn link_up(&self, host: &Host, end: End) -> Result<()> {
        let plug = self.plug(host)?;
        plug.set(&self.bridge, end, "up")?;
        let other_is_down = {
            let mut wiring = self.wiring();
            wiring.down.remove(&(host.namespace().to_owned(), end));
            wiring.down.iter().any(|(name, _)| name == host.namespace())
        };
        if other_is_down { Ok(()) } else { self.wait_for_carrier(&plug) }
    }

    /// Stops `traffic` from every host of `from` to every host of `to`: one direction only.
    pub fn cut(&self, from: &[&Host], to: &[&Host], traffic: Traffic) -> Result<()> {
        self.change_cuts(from, to, traffic, |cuts, cut| {
            cuts.insert(cut);
        })
    }

    /// Undoes one `cut`.
    pub fn mend(&self, from: &[&Host], to: &[&Host], traffic: Traffic) -> Result<()> {
        self.change_cuts(from, to, traffic, |cuts, cut| {
            cuts.remove(&cut);
        })
    }

    /// Stops everything on some ways, from the first to the second host, and lets it pass again on
    /// others, at one instant.
    pub fn change_ways(&self, stop: &[(&Host, &Host)], pass: &[(&Host, &Host)]) -> Result<()> {
        let mut wiring = self.wiring();
        for (from, to) in pass {
            for cut in wiring.pairs(&[*from], &[*to], Traffic::All)? {
                wiring.cuts.remove(&cut);
            }
        }
        for (from, to) in stop {
            for cut in wiring.pairs(&[*from], &[*to], Traffic::All)? {
                wiring.cuts.insert(cut);
            }
        }
        self.program(&wiring)
    }

    /// Stops everything between two sets of hosts, both ways, at one instant. Hosts in neither
    /// set, such as a client, still reach both.
    pub fn partition(&self, one: &[&Host], other: &[&Host]) -> Result<()> {
        let mut wiring = self.wiring();
        for (from, to) in [(one, other), (other, one)] {
            for cut in wiring.pairs(from, to, Traffic::All)? {
                wiring.cuts.insert(cut);
            }
        }
        self.program(&wiring)
    }

    /// Cuts a host off from all others while its interface still shows a carrier.
    pub fn isolate(&self, host: &Host) -> Result<()> {
        let others: Vec<Host> = self
            .wiring()
            .ports
            .values()
            .filter(|plug| plug.host != *host)
            .map(|plug| plug.host.clone())
            .collect();
        self.partition(&[host], &others.iter().collect::<Vec<_>>())
    }

    /// Loses so many of a hundred frames from `from` to `to`, at random.
    pub fn lose(&self, from: &[&Host], to: &[&Host], percent: u8) -> Result<()> {
        let mut wiring = self.wiring();
        for Cut { from, to, .. } in wiring.pairs(from, to, Traffic::All)? {
            wiring.losses.retain(|one| (&one.from, &one.to) != (&from, &to));
            if percent > 0 {
                wiring.losses.push(Loss { from, to, percent });
            }
        }
        self.program(&wiring)
    }

    /// Takes what passes from one host to others through a relay with these manners, until it is
    /// handed to [`bypass`](Self::bypass).
    pub fn relay(&self, from: &Host, to: &[&Host], manners: Manners, seed: u64) -> Result<Relay> {
        let mut wiring = self.wiring();
        let cuts = wiring.pairs(&[from], to, Traffic::All)?;
        let route = |host: &&Host| {
            let plug = wiring.plug(host)?;
            Ok(Route { port: plug.name.clone(), mac: plug.port.mac })
        };
        let routes: Vec<Route> = to.iter().map(route).collect::<Result<_>>()?;
        let port = wiring.plug(from)?.name.clone();
        let relay = Relay::start(&self.bridge, port, routes, cuts.clone(), manners, seed)?;
        wiring.relayed.extend(cuts);
        self.program(&wiring)?;
        Ok(relay)
    }

    /// Lets the bridge pass again what a relay did.
    pub fn bypass(&self, relay: Relay) -> Result<()> {
        let mut wiring = self.wiring();
        for cut in relay.cuts() {
            if let Some(at) = wiring.relayed.iter().position(|one| one == cut) {
                wiring.relayed.swap_remove(at);
            }
        }
        self.program(&wiring)
    }

    /// Undoes every cut and loss, and takes every link up. Relays go on.
    pub fn heal_all(&self) -> Result<()> {
        let down = {
            let mut wiring = self.wiring();
            wiring.cuts.clear();
            wiring.losses.clear();
            self.program(&wiring)?;
            let down: Vec<(Host, End)> = wiring
                .down
                .iter()
                .map(|(name, end)| (wiring.ports[name].host.clone(), *end))
                .collect();
            down
        };
        down.iter().try_for_each(|(host, end)| self.link_up(host, *end))
    }

    fn change_cuts(
        &self,
        from: &[&Host],
        to: &[&Host],
        traffic: Traffic,
        mut change: impl FnMut(&mut BTreeSet<Cut>, Cut),
    ) -> Result<()> {
        let mut wiring = self.wiring();
        for cut in wiring.pairs(from, to, traffic)? {
            change(&mut wiring.cuts, cut);
        }
        self.program(&wiring)
    }

    fn program(&self, wiring: &Wiring) -> Result<()> {
        let rules = ruleset(wiring.cuts.iter().chain(&wiring.relayed), &wiring.losses);
        self.bridge.feed("nft", &["-f", "-"], &rules).map(drop)
    }

    fn wait_for_carrier(&self, plug: &Plug) -> Result<()> {
        let what = format!("{} of {} to carry frames", plug.port.interface, plug.host.label());
        until(&what, Duration::from_secs(5), || {
            let port = run_bridge(&self.bridge, &plug.name).ok()?;
            let host = plug.host.ip(&format!("-br link show {}", plug.port.interface)).ok()?;
            (port.contains("state forwarding") && host.contains("LOWER_UP")).then_some(())
        })
    }

    fn plug(&self, host: &Host) -> Result<Plug> {
        self.wiring().plug(host).cloned()
    }

    fn wiring(&self) -> MutexGuard<'_, Wiring> {
        // A test that panicked elsewhere must still be able to heal and clean up.
        self.wiring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wiring {
    fn plug(&self, host: &Host) -> Result<&Plug> {
        self.ports.get(host.namespace()).ok_or_else(|| {
            LabError::Argument(format!("{} is not attached to this LAN", host.label()))
        })
    }

    fn pairs(&self, from: &[&Host], to: &[&Host], traffic: Traffic) -> Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        for source in from {
            for target in to.iter().filter(|target| *target != source) {
                let (from, to) = (self.plug(source)?.name.clone(), self.plug(target)?.name.clone());
                cuts.push(Cut { from, to, traffic });
            }
        }
        Ok(cuts)
    }
}

impl Plug {
    fn set(&self, bridge: &Host, end: End, state: &str) -> Result<()> {
        match end {
            End::Host => self.host.ip(&format!("link set {} {state}", self.port.interface)),
            End::Bridge => bridge.ip(&format!("link set {} {state}", self.name)),
        }
        .map(drop)
    }
}

fn run_bridge(bridge: &Host, port: &str) -> Result<String> {
    crate::netns::run("bridge", &["-n", bridge.namespace(), "link", "show", "dev", port])
}
