//! Load balancing by NAT: with nftables where the kernel has no IPVS, with IPVS where it has.

use std::collections::BTreeMap;

use leasehold_lab::site::{LATER, NatSite, ask, ask_often};
use leasehold_lab::vm::with_module;
use leasehold_lab::{Result, until};

fn counted(answers: &[String]) -> BTreeMap<&str, usize> {
    answers.iter().fold(BTreeMap::new(), |mut counts, answer| {
        *counts.entry(answer.as_str()).or_default() += 1;
        counts
    })
}

/// Each in turn, by weight, always the same for one client; and all of it from another director
/// when the holder is gone.
fn balances(site: &mut NatSite) -> Result<()> {
    let client = site.cluster.client.clone();
    site.apply("rr", [1, 1, 1], "")?;
    let answers = ask_often(&client, NatSite::VIP, 9)?;
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
    let answers = ask_often(&client, NatSite::VIP, 6)?;
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

/// Only here: in the machine, the kernel has it.
#[test]
fn without_ipvs_what_needs_it_is_refused() -> Result<()> {
    let site = NatSite::start()?;
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
