//! Load balancing as clients see it, each case from its own keepalived.conf, in the kernel.
#![expect(clippy::print_stdout, reason = "how long it took is for whoever asks to see it")]

use std::collections::BTreeSet;
use std::time::Instant;

use leasehold_lab::cluster::Cluster;
use leasehold_lab::site::{
    LATER, Mode, RealServer, Row, ask, ask_often, plan, rows, table, wait_for_holders_table,
};
use leasehold_lab::vm::with_module;
use leasehold_lab::{Host, LabError, Lan, Result, Signal};

/// What is served, by which real servers.
struct Case {
    file: &'static str,
    instance: &'static str,
    vip: &'static str,
    /// With every real server up.
    table: Vec<Row>,
    /// With the first one down.
    without_first: Vec<Row>,
}

/// Stops a real server's nginx and starts it again, with a client that asks all the while.
/// Tells who is the holder then.
fn goes_and_returns(case: &Case, cluster: &Cluster, real: &mut RealServer) -> Result<usize> {
    let client = &cluster.client;
    let (mut answered, mut failed) = (0, 0);
    let stopped = Instant::now();
    real.stop();
    cluster.wait_longer_for("the real server to be removed", LATER, || {
        let count = if ask(client, case.vip).is_some() { &mut answered } else { &mut failed };
        *count += 1;
        let holder = cluster.holder(case.instance)?;
        table(cluster, holder).is_ok_and(|table| table == case.without_first).then_some(())
    })?;
    let removed = stopped.elapsed();
    let gone = real.host.label().to_owned();
    let answers = answers_of(cluster, client, case.vip, 6)?;
    assert!(!answers.contains(&gone), "{answers:?}");
    let started = Instant::now();
    real.start_again()?;
    let holder = wait_for_holders_table(cluster, case.instance, &case.table)?;
    let returned = started.elapsed();
    println!(
        "{}: nginx of {gone} stopped, {gone} removed after {removed:.1?} ({answered} requests \
         answered meanwhile, {failed} failed), all 6 after that answered; nginx started, {gone} \
         back after {returned:.1?}",
        case.file
    );
    Ok(holder)
}

/// Stops and starts a real server, kills the holder, and stops the next one in good order.
fn survives(case: &Case, cluster: &mut Cluster, real: &mut [RealServer]) -> Result<()> {
    let client = cluster.client.clone();
    let holder = goes_and_returns(case, cluster, &mut real[0])?;

    cluster.daemon(holder)?.kill_tree()?;
    cluster.wait_longer_for("another director to answer", LATER, || {
        ask(&client, case.vip)?;
        cluster.holder(case.instance).filter(|next| *next != holder)
    })?;
    cluster.mark_down(holder);
    let next = wait_for_holders_table(cluster, case.instance, &case.table)?;
    answers_of(cluster, &client, case.vip, 3)?;

    cluster.run(holder)?;
    cluster.wait_for_voters()?;
    assert_eq!(table(cluster, holder)?, [], "what the dead one left is removed");
    cluster.cli(next, &["move", case.instance, "--to", &cluster.nodes()[holder].name.clone()])?;
    let holder = wait_for_holders_table(cluster, case.instance, &case.table)?;
    answers_of(cluster, &client, case.vip, 3)?;

    cluster.daemon(holder)?.kill(Signal::SIGKILL)?;
    cluster.wait_longer_for("the guard to remove the services", LATER, || {
        table(cluster, holder).is_ok_and(|table| table.is_empty()).then_some(())
    })?;
    cluster.wait_longer_for("an answer", LATER, || ask(&client, case.vip)).map(drop)
}

fn start(case: &Case, subnet: &'static str, interface: &'static str) -> Result<Cluster> {
    let cluster = Cluster::start(&plan(subnet, interface)?)?;
    let file = format!("{}/data/balancing/{}", env!("CARGO_MANIFEST_DIR"), case.file);
    let text = std::fs::read_to_string(&file).expect("a file of the tests");
    cluster.apply("conf", &text)?;
    Ok(cluster)
}

/// So many answers in a row, from the first on: services are in the kernel before the VIP is.
fn answers_of(cluster: &Cluster, client: &Host, vip: &str, times: usize) -> Result<Vec<String>> {
    cluster.wait_longer_for("an answer", LATER, || ask(client, vip))?;
    ask_often(client, vip, times)
}

/// Waits for nine answers in a row that go round the real servers, in whatever order: the kernel
/// has them in that in which they came, and a check that comes too late on a slow machine takes
/// one out for a while.
fn wait_for_rounds(cluster: &Cluster, vip: &str, real: &[RealServer]) -> Result<()> {
    let mut last = Vec::new();
    let seen = cluster.wait_longer_for("answers in turn", LATER, || {
        last = ask_often(&cluster.client, vip, 9).ok()?;
        let round: BTreeSet<&String> = last[..real.len()].iter().collect();
        let again = last.iter().zip(last.iter().cycle().skip(real.len())).take(9 - real.len());
        let in_turn = round.len() == real.len() && again.into_iter().all(|(one, next)| one == next);
        in_turn.then_some(())
    });
    seen.map_err(|error| LabError::Argument(format!("{error}: the last were {last:?}")))
}

#[test]
fn tunnels_by_weighted_round_robin() -> Result<()> {
    with_module("ip_vs", "tunnels_by_weighted_round_robin", || {
        let service = ("TCP", "192.168.1.184:80", "wrr");
        let near = ("192.168.1.183:80", "Tunnel", "1");
        let far = [("192.168.56.183:80", "Tunnel", "1"), ("192.168.56.184:80", "Tunnel", "1")];
        let case = Case {
            file: "tunnel-wrr.conf",
            instance: "VI_1",
            vip: "192.168.1.184",
            table: rows(&[service, near, far[0], far[1]]),
            without_first: rows(&[service, near, far[1]]),
        };
        let mut cluster = start(&case, "192.168.1.0/24", "eth1")?;
        let back = Lan::new("back", "192.168.56.0/24", None)?;
        for (nth, node) in (11..).zip(cluster.nodes()) {
            back.attach(&node.host, "eth2", nth)?;
        }
        // Answers come straight from the other network.
        back.attach(&cluster.client, "eth1", 50)?;
        for name in ["all", "eth0", "eth1"] {
            cluster.client.sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), "0")?;
        }
        let mut real = vec![
            RealServer::start(&back, "rs1", 183, case.vip, Mode::Tunnel)?,
            RealServer::start(&back, "rs2", 184, case.vip, Mode::Tunnel)?,
            RealServer::start(&cluster.lan, "rs3", 183, case.vip, Mode::Tunnel)?,
        ];
        for one in &real[..2] {
            one.host.ip("route add 192.168.1.50 dev eth1")?;
        }
        wait_for_holders_table(&cluster, case.instance, &case.table)?;
        wait_for_rounds(&cluster, case.vip, &real)?;
        survives(&case, &mut cluster, &mut real)
    })
}

/// Two real servers beside the directors.
fn beside(cluster: &Cluster, vip: &str, nth: [u16; 2]) -> Result<Vec<RealServer>> {
    let one = |(name, nth)| RealServer::start(&cluster.lan, name, nth, vip, Mode::Direct);
    ["rs1", "rs2"].into_iter().zip(nth).map(one).collect()
}

#[test]
fn direct_by_least_connections() -> Result<()> {
    with_module("ip_vs", "direct_by_least_connections", || {
        let service = ("TCP", "192.168.188.120:80", "wlc");
        let real = [("192.168.188.107:80", "Route", "100"), ("192.168.188.110:80", "Route", "100")];
        let case = Case {
            file: "direct-wlc.conf",
            instance: "VI_1",
            vip: "192.168.188.120",
            table: rows(&[service, real[0], real[1]]),
            without_first: rows(&[service, real[1]]),
        };
        let mut cluster = start(&case, "192.168.188.0/24", "eth0")?;
        let mut real = beside(&cluster, case.vip, [107, 110])?;
        wait_for_holders_table(&cluster, case.instance, &case.table)?;
        let answers = answers_of(&cluster, &cluster.client, case.vip, 6)?;
        for name in ["rs1", "rs2"] {
            assert!(answers.iter().any(|answer| answer == name), "{answers:?}");
        }
        survives(&case, &mut cluster, &mut real)
    })
}

#[test]
fn direct_and_persistent() -> Result<()> {
    with_module("ip_vs", "direct_and_persistent", || {
        let service = ("TCP", "10.0.0.100:80", "lc persistent 60");
        let other = ("10.0.0.194:80", "Route", "3");
        let case = Case {
            file: "direct-lc-persistent.conf",
            instance: "Group_LVS_1",
            vip: "10.0.0.100",
            table: rows(&[service, ("10.0.0.80:80", "Route", "3"), other]),
            // It stays, and takes nothing new.
            without_first: rows(&[service, ("10.0.0.80:80", "Route", "0"), other]),
        };
        let mut cluster = start(&case, "10.0.0.0/24", "eth0")?;
        let mut real = beside(&cluster, case.vip, [80, 194])?;
        wait_for_holders_table(&cluster, case.instance, &case.table)?;
        let answers = answers_of(&cluster, &cluster.client, case.vip, 6)?;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "one client: {answers:?}");
        real[0].stop();
        wait_for_holders_table(&cluster, case.instance, &case.without_first)?;
        // A client that never came before.
        let stranger = Host::new("stranger")?;
        cluster.lan.attach(&stranger, "eth0", 51)?;
        let answers = answers_of(&cluster, &stranger, case.vip, 3)?;
        assert!(answers.iter().all(|answer| answer == "rs2"), "{answers:?}");
        real[0].start_again()?;
        let holder = wait_for_holders_table(&cluster, case.instance, &case.table)?;
        cluster.daemon(holder)?.kill_tree()?;
        cluster.wait_longer_for("another director to answer", LATER, || {
            ask(&stranger, case.vip)?;
            cluster.holder(case.instance).filter(|next| *next != holder)
        })?;
        cluster.mark_down(holder);
        wait_for_holders_table(&cluster, case.instance, &case.table).map(drop)
    })
}

#[test]
fn direct_by_round_robin() -> Result<()> {
    with_module("ip_vs", "direct_by_round_robin", || {
        let service = ("TCP", "192.168.1.100:80", "rr");
        let real = [("192.168.1.11:80", "Route", "1"), ("192.168.1.12:80", "Route", "1")];
        let case = Case {
            file: "direct-rr.conf",
            instance: "VI_1",
            vip: "192.168.1.100",
            table: rows(&[service, real[0], real[1]]),
            without_first: rows(&[service, real[1]]),
        };
        let mut cluster = start(&case, "192.168.1.0/24", "enp0s3")?;
        let mut real = beside(&cluster, case.vip, [11, 12])?;
        wait_for_holders_table(&cluster, case.instance, &case.table)?;
        wait_for_rounds(&cluster, case.vip, &real)?;
        survives(&case, &mut cluster, &mut real)
    })
}
