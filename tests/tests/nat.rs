//! Load balancing by NAT: with nftables where the kernel has no IPVS, with IPVS where it has.

use std::collections::BTreeMap;

use leasehold_lab::site::{LATER, NatSite, ask, ask_often, table};
use leasehold_lab::vm::{has_module, with_module};
use leasehold_lab::{Result, until};

fn counted(answers: &[String]) -> BTreeMap<&str, usize> {
    answers.iter().fold(BTreeMap::new(), |mut counts, answer| {
        *counts.entry(answer.as_str()).or_default() += 1;
        counts
    })
}

/// Answers in a row, each of which came, by a director that held the VIP all the time: a slow
/// machine may move it in between, and who gets it begins its own round.
fn of_one_holder(site: &NatSite, times: usize) -> Result<Vec<String>> {
    let epoch = || site.cluster.instance(NatSite::INSTANCE)?["epoch"].as_u64();
    until("answers of one holder", LATER, || {
        let before = epoch()?;
        let answers = ask_often(&site.cluster.client, NatSite::VIP, times);
        (epoch()? == before).then_some(answers)
    })?
}

/// Each in turn, by weight, always the same for one client; and all of it from another director
/// when the holder is gone.
fn balances(site: &mut NatSite) -> Result<()> {
    let client = site.cluster.client.clone();
    site.apply("rr", [1, 1, 1], "")?;
    let answers = of_one_holder(site, 9)?;
    for turn in answers.windows(3) {
        assert_eq!(counted(turn).len(), 3, "{answers:?}");
    }
    site.apply("wrr", [3, 1, 1], "")?;
    let told = until("the new weights", LATER, || {
        let answers = ask_often(&client, NatSite::VIP, 10).ok()?;
        (counted(&answers) == [("rs1", 6), ("rs2", 2), ("rs3", 2)].into()).then_some(())
    });
    told?;
    site.apply("rr", [1, 1, 1], "persistence_timeout = 60")?;
    until("one server for one client", LATER, || {
        let answers = ask_often(&client, NatSite::VIP, 6).ok()?;
        (counted(&answers).len() == 1).then_some(())
    })?;
    let holder = site.apply("rr", [1, 1, 1], "")?;
    site.cluster.daemon(holder)?.kill_tree()?;
    let next = until("another director to answer", LATER, || {
        ask(&client, NatSite::VIP)?;
        site.cluster.holder(NatSite::INSTANCE).filter(|next| *next != holder)
    })?;
    site.cluster.mark_down(holder);
    let answers = of_one_holder(site, 6)?;
    assert_eq!(counted(&answers).len(), 3, "{answers:?} by {next}");
    Ok(())
}

#[test]
fn with_what_this_kernel_has() -> Result<()> {
    balances(&mut NatSite::start()?)
}

#[test]
fn with_ipvs() -> Result<()> {
    with_module("ip_vs", "with_ipvs", || balances(&mut NatSite::start()?))
}

#[test]
fn with_nftables_no_connection_is_lost_to_a_change_and_the_table_is_mended() -> Result<()> {
    let site = NatSite::start()?;
    let global = "[global]\ndataplane = \"nftables\"\n";
    let config = |weights| format!("{global}{}", NatSite::config("wrr", weights, ""));
    site.cluster.apply("toml", &config([1, 1, 1]))?;
    let client = site.cluster.client.clone();
    let holder = site.cluster.wait_for_holder(NatSite::INSTANCE)?;
    until("an answer", LATER, || ask(&client, NatSite::VIP))?;
    for round in 1..=20 {
        site.cluster.apply("toml", &config([round, 1, 20]))?;
        ask_often(&client, NatSite::VIP, 5)?;
    }
    let host = &site.cluster.nodes()[holder].host;
    host.run("nft", &["add", "table", "inet", "foreign"])?;
    host.run("nft", &["delete", "table", "inet", "leasehold"])?;
    until("the table to be mended", LATER, || ask(&client, NatSite::VIP))?;
    let servers = "[global]\ndataplane = \"nftables\"\n".to_owned()
        + NatSite::config("wrr", [1, 1, 1], "").split("[[virtual_server]]").next().unwrap_or("");
    site.cluster.apply("toml", &servers)?;
    until("our table to go", LATER, || {
        let tables = host.run("nft", &["list", "tables"]).ok()?;
        (tables.trim() == "table inet foreign").then_some(())
    })
}

#[test]
fn a_director_that_passes_nothing_on_leaves_it_to_another() -> Result<()> {
    let site = NatSite::start()?;
    let holder = site.apply("rr", [1, 1, 1], "")?;
    site.cluster.nodes()[holder].host.sysctl("net.ipv4.ip_forward", "0")?;
    let next = until("another director to hold it", LATER, || {
        site.cluster.holder(NatSite::INSTANCE).filter(|next| *next != holder)
    })?;
    let explained = site.cluster.cli(next, &["explain", NatSite::INSTANCE])?;
    let why = "can't serve all of it: -t 192.168.1.100:80: net.ipv4.ip_forward is 0";
    assert!(explained.contains(why), "{explained}");
    // Its services are in the kernel before the VIP is.
    until("an answer", LATER, || ask(&site.cluster.client, NatSite::VIP))?;
    ask_often(&site.cluster.client, NatSite::VIP, 3).map(drop)
}

#[test]
fn without_ipvs_what_needs_it_is_refused() -> Result<()> {
    let site = NatSite::start()?;
    if has_module("ip_vs") {
        let least = NatSite::config("lc", [1, 1, 1], "");
        return site.cluster.apply("toml", &least).map(drop);
    }
    let refused =
        |config: String| site.cluster.apply("toml", &config).expect_err("no IPVS here").to_string();
    let why = refused(NatSite::config("rr", [1, 1, 1], "lb_kind = \"DR\""));
    let wanted = "has no IPVS, and virtual_server 192.168.1.100 80 tcp, lb_kind: nftables can't \
                  serve it: DR leaves addresses as they are; it has NAT only";
    assert!(why.contains(wanted), "{why}");
    let config = NatSite::config("rr", [1, 1, 1], "");
    let why = refused(format!("[global]\ndataplane = \"ipvs\"\n{config}"));
    assert!(why.contains("has no IPVS: install its module ip_vs"), "{why}");
    Ok(())
}

#[test]
fn with_nftables_what_it_can_not_do_is_refused() -> Result<()> {
    let site = NatSite::start()?;
    let refused = |scheduler, more: &str| {
        let config = NatSite::config(scheduler, [1, 1, 1], more);
        let config = format!("[global]\ndataplane = \"nftables\"\n{config}");
        site.cluster.apply("toml", &config).expect_err("nftables can't do it").to_string()
    };
    let why = refused("wlc", "");
    assert!(why.contains("nftables can't serve it: wlc counts connections"), "{why}");
    let why = refused("rr", "lb_kind = \"DR\"");
    assert!(why.contains("nftables can't serve it: DR leaves addresses as they are"), "{why}");
    Ok(())
}

/// The weight of rs1 in the holder's kernel, if it has it.
fn weight_of_first(site: &NatSite, holder: usize) -> Option<String> {
    let rows = table(&site.cluster, holder).ok()?;
    rows.into_iter().find(|row| row.0 == "10.9.0.1:80").map(|row| row.2)
}

#[test]
fn one_that_is_removed_finishes_what_it_began() -> Result<()> {
    with_module("ip_vs", "one_that_is_removed_finishes_what_it_began", || {
        let site = NatSite::start()?;
        let first = "{ address = \"10.9.0.1:80\", weight = 1 }, ";
        let all = NatSite::config("rr", [1, 1, 1], "");
        let without = all.replace(first, "");
        assert_ne!(all, without);
        // Only the first one is there to ask.
        let only = all.split(first).next().unwrap_or_default().to_owned() + first + "]\n";
        site.cluster.apply("toml", &only)?;
        let holder = site.cluster.wait_for_holder(NatSite::INSTANCE)?;
        until("an answer", LATER, || ask(&site.cluster.client, NatSite::VIP))?;
        let client = site.cluster.client.clone();
        std::thread::scope(|scope| {
            let download = scope.spawn(|| {
                let url = format!("http://{}/big", NatSite::VIP);
                let words =
                    ["-s", "--max-time", "100", "-o", "/dev/null", "-w", "%{size_download}"];
                client.run("curl", &[&words[..], &[url.as_str()]].concat())
            });
            until("the download to begin", LATER, || {
                let text = site.cluster.nodes()[holder].host.run("ipvsadm", &["-Lcn"]).ok()?;
                (text.contains("ESTABLISHED") || download.is_finished()).then_some(())
            })?;
            assert!(!download.is_finished(), "it ended too soon: {:?}", download.join());
            site.cluster.apply("toml", &without)?;
            until("it to take nothing new", LATER, || {
                (weight_of_first(&site, holder)? == "0").then_some(())
            })?;
            let size = download.join().expect("a thread")?;
            assert_eq!(size, (1 << 20).to_string(), "the whole of it");
            until("it to go", LATER, || weight_of_first(&site, holder).is_none().then_some(()))
        })
    })
}
