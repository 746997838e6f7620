//! Two instances on two networks that move together, whichever of the links goes.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::{End, Lan, Observer, Result, Returns, find_binary};

const OUTSIDE: &str = "192.168.1.100";
const INSIDE: &str = "10.9.0.100";

struct Site {
    cluster: Cluster,
    inside: Lan,
    _inner: leasehold_lab::Host,
    observers: [Observer; 2],
}

impl Site {
    fn start() -> Result<Self> {
        let cluster = Cluster::start(&Plan::new(find_binary()?))?;
        let inside = Lan::new("inside", "10.9.0.0/24", None)?;
        for (nth, node) in (1..).zip(cluster.nodes()) {
            inside.attach(&node.host, "eth1", nth)?;
        }
        let inner = leasehold_lab::Host::new("inner")?;
        inside.attach(&inner, "eth0", 50)?;
        cluster.apply(
            "toml",
            &format!(
                "[sync_group.G]\nmembers = [\"OUT\", \"IN\"]\n\
                 [instance.OUT]\nvirtual_router_id = 51\ninterface = \"eth0\"\n\
                 virtual_ipaddress = [\"{OUTSIDE}/24\"]\n\
                 [instance.IN]\nvirtual_router_id = 52\ninterface = \"eth1\"\n\
                 virtual_ipaddress = [\"{INSIDE}/24\"]\n"
            ),
        )?;
        let observers = [
            cluster.lan.observe(&cluster.client, &[address(OUTSIDE)])?,
            inside.observe(&inner, &[address(INSIDE)])?,
        ];
        Ok(Self { cluster, inside, _inner: inner, observers })
    }

    /// Waits until both networks are answered by this director.
    fn is_at(&self, index: usize) -> Result<()> {
        let host = &self.cluster.nodes()[index].host;
        let macs = [self.cluster.lan.port(host)?.mac, self.inside.port(host)?.mac];
        for ((observer, vip), mac) in self.observers.iter().zip([OUTSIDE, INSIDE]).zip(macs) {
            observer.wait_for(address(vip), Some(mac), SOON)?;
        }
        Ok(())
    }

    /// Waits until both are answered by another director than this one, the same.
    fn is_at_another(&self, than: usize) -> Result<usize> {
        let mac = self.cluster.nodes()[than].port.mac;
        let answer = self.observers[0].wait_for_other(address(OUTSIDE), mac, SOON)?;
        let nodes = self.cluster.nodes().iter();
        let next = nodes.clone().position(|node| node.port.mac == answer.mac);
        let next = next.expect("a director answered");
        self.is_at(next)?;
        Ok(next)
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn either_link_cut_moves_both() -> Result<()> {
    let site = Site::start()?;
    let first = site.cluster.wait_for_holder("OUT")?;
    site.is_at(first)?;
    let host = |index: usize| &site.cluster.nodes()[index].host;
    site.inside.link_down(host(first), End::Bridge)?;
    let second = site.is_at_another(first)?;
    site.inside.link_up(host(first), End::Bridge)?;
    // The network of the directors themselves, too.
    site.cluster.lan.link_down(host(second), End::Bridge)?;
    let third = site.is_at_another(second)?;
    site.cluster.lan.link_up(host(second), End::Bridge)?;
    site.cluster.wait_for_voters()?;
    let next = (0..3).find(|index| *index != third).expect("there are three");
    let name = &site.cluster.nodes()[next].name;
    site.cluster.wait_for("a move", |this| this.cli(third, &["move", "IN", "--to", name]).ok())?;
    site.is_at(next)?;
    for (observer, vip) in site.observers.into_iter().zip([OUTSIDE, INSIDE]) {
        let seen = observer.stop()?;
        let again = Returns::Settled(50_000_000);
        assert_eq!(seen.duplicates(address(vip), again).len(), 0, "{vip}");
    }
    Ok(())
}
