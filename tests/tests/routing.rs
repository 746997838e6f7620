//! Routes and rules of an instance are where its lease is, and nowhere else, whatever dies.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Fault, Plan, instance};
use leasehold_lab::{Result, find_binary, until};

const INSTANCE: &str = "VI_1";
/// A look each second, and time to look.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(2);

const ROUTE: &str = "10.50.0.0/16 via 192.168.1.254 dev eth0 proto 76 src 192.168.1.100";
const RULE: &str = "100:\tfrom 192.168.1.100 lookup 1000 proto 76";
const THEIRS: [&str; 2] =
    ["route add 10.60.0.0/16 dev eth0 proto static", "rule add from 10.9.9.9 table 1000"];

/// How many of the lines that ours are made of are in the kernel of this director; the lines of
/// others are always there.
fn there(cluster: &Cluster, index: usize) -> usize {
    let host = &cluster.nodes()[index].host;
    let all = |words: &str| host.ip(words).expect("ip");
    let shown =
        all("-4 route show table all") + &all("rule show") + &all("-6 route show table all");
    assert!(shown.contains("10.60.0.0/16") && shown.contains("from 10.9.9.9"), "{shown}");
    shown.lines().filter(|line| line.contains("proto 76")).count()
}

/// Waits until a holder that is not `before` has all of it, and no other has any; of `dead` nobody
/// asks.
fn wait_until_only(cluster: &Cluster, before: Option<usize>, dead: Option<usize>) -> Result<usize> {
    cluster.wait_for("routes at the holder, and nowhere else", |cluster| {
        let holder = cluster.holder(INSTANCE).filter(|holder| Some(*holder) != before)?;
        let others = (0..cluster.nodes().len()).filter(|one| *one != holder && Some(*one) != dead);
        let alone = others.map(|one| there(cluster, one)).sum::<usize>() == 0;
        (there(cluster, holder) == 3 && alone).then_some(holder)
    })
}

#[test]
fn they_go_where_the_lease_goes() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    for node in cluster.nodes() {
        for words in THEIRS {
            node.host.ip(words)?;
        }
    }
    let text = instance(INSTANCE, 88, &[vip])
        + "virtual_routes = [\"10.70.0.0/16 dev none0\", \
           \"10.50.0.0/16 via 192.168.1.254 src 192.168.1.100 table 1000\", \
           \"blackhole fd50::/16\"]\n\
           virtual_rules = [\"from 192.168.1.100 table 1000 priority 100\"]\n";
    cluster.apply("toml", &text)?;
    let first = wait_until_only(&cluster, None, None)?;
    let host = &cluster.nodes()[first].host;
    let shown = host.ip("route show table 1000")? + &host.ip("rule show")?;
    assert!(shown.contains(ROUTE) && shown.contains(RULE), "{shown}");

    host.ip("route del 10.50.0.0/16 table 1000")?;
    host.ip("rule del from 192.168.1.100")?;
    until("what was deleted is put back", PUT_BACK_WITHIN, || {
        (there(&cluster, first) == 3).then_some(())
    })?;
    // One that can't be added is said once, and costs nothing.
    let output = cluster.daemon(first)?.output();
    assert_eq!(output.iter().filter(|line| line.contains("none0")).count(), 1, "{output:?}");

    Fault::Move.inject(&cluster, INSTANCE, first)?;
    let second = wait_until_only(&cluster, Some(first), None)?;

    cluster.daemon(second)?.kill(leasehold_lab::Signal::SIGKILL)?;
    // Its guard has removed them.
    let third = wait_until_only(&cluster, Some(second), None)?;
    cluster.mark_down(second);
    cluster.run(second)?;
    cluster.wait_for_voters()?;

    cluster.daemon(third)?.kill_tree()?;
    cluster.mark_down(third);
    assert_eq!(there(&cluster, third), 3, "nobody was left to remove them");
    wait_until_only(&cluster, Some(third), Some(third))?;
    cluster.run(third)?;
    // The next start has.
    wait_until_only(&cluster, None, None)?;
    Ok(())
}
