//! A virtual MAC address moves with the lease: neighbours see one, whoever holds it.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Mac, Observer, Program, Result, Returns, Settings, find_binary};

const INSTANCE: &str = "VI_1";
const VRID: u8 = 88;
const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, VRID]);

/// An answer is known by whom it goes to. A macvlan's broadcasts wait for a worker of the kernel's,
/// on a busy machine for tens of milliseconds, and nobody may ask again by then.
const ASKERS: usize = 200;

fn has(cluster: &Cluster, index: usize) -> bool {
    let links = cluster.nodes()[index].host.ip("-o link show type macvlan").expect("ip");
    links.contains("vrrp.88@")
}

/// Waits until a holder that is not `before` has the interface, and nobody else who lives.
fn wait_until_only(cluster: &Cluster, before: Option<usize>, dead: Option<usize>) -> Result<usize> {
    cluster.wait_for("a virtual MAC address at the holder alone", |cluster| {
        let holder = cluster.holder(INSTANCE).filter(|holder| Some(*holder) != before)?;
        let others = (0..cluster.nodes().len()).filter(|one| *one != holder && Some(*one) != dead);
        let alone = !others.into_iter().any(|one| has(cluster, one));
        (alone && has(cluster, holder)).then_some(holder)
    })
}

#[test]
fn it_goes_where_the_lease_goes_and_nothing_is_left() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let plan = Plan { directors: 2, witness: true, ..Plan::new(find_binary()?) };
    let mut cluster = Cluster::start(&plan)?;
    let sniffer = Program::new("tcpdump", "tcpdump")
        .args(["-e", "-n", "-l", "-i", "eth0", "ip", "proto", "112"])
        .start(&cluster.client)?;
    sniffer.wait_for_line("listening on", SOON)?;
    cluster.apply("toml", &(instance(INSTANCE, VRID, &[vip]) + "use_vmac = true\n"))?;
    let first = wait_until_only(&cluster, None, None)?;
    let askers = cluster.lan.unused(ASKERS, &[vip]);
    let observer =
        Observer::start(&cluster.client, Settings { askers, ..Settings::new("eth0", &[vip]) })?;
    observer.wait_for(vip, Some(VIRTUAL), SOON)?;
    sniffer.wait_for_line("VRRPv2, Advertisement, vrid 88, prio 100", SOON)?;

    let other = cluster.nodes()[1 - first].name.clone();
    cluster.cli(first, &["move", INSTANCE, "--to", &other])?;
    let second = wait_until_only(&cluster, Some(first), None)?;
    let mark = sniffer.mark();
    sniffer.wait_for_line_after(mark, "vrid 88, prio 100", SOON)?;

    cluster.daemon(second)?.kill(leasehold_lab::Signal::SIGKILL)?;
    // Its guard has deleted it.
    let third = wait_until_only(&cluster, Some(second), None)?;
    cluster.mark_down(second);
    cluster.run(second)?;
    cluster.wait_for_voters()?;

    cluster.daemon(third)?.kill_tree()?;
    cluster.mark_down(third);
    assert!(has(&cluster, third), "nobody was left to delete it");
    wait_until_only(&cluster, Some(third), Some(third))?;
    cluster.run(third)?;
    wait_until_only(&cluster, None, None)?;

    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(0)), []);
    let reigns = seen.reigns(vip);
    assert!(reigns.iter().all(|reign| reign.mac == VIRTUAL), "{reigns:?}");
    let output = sniffer.output();
    let adverts = output.iter().filter(|line| line.contains("vrid 88") && !line.contains("prio 0"));
    let strange: Vec<_> = adverts.filter(|line| !line.contains(&format!("{VIRTUAL} > "))).collect();
    assert!(strange.is_empty(), "{strange:?}");
    Ok(())
}
