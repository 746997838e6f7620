//! `doctor` finds what was broken for it to find, and nothing on a machine that is well.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Host, LabError, Result, find_binary};
use serde_json::Value;

const VIP: &str = "192.168.1.100";

/// The failures that it finds, and the line that it ends with if there are any.
fn failures(cluster: &Cluster, index: usize) -> (Vec<String>, String) {
    match cluster.cli(index, &["doctor"]) {
        Ok(text) => {
            assert!(!text.contains("FAILURE"), "{text}");
            (Vec::new(), String::new())
        }
        Err(LabError::Command { stderr, .. }) => {
            let data_dir = cluster.nodes()[index].data_dir.display().to_string();
            let binary = find_binary().expect("a binary").display().to_string();
            // What it prints stands on stdout, which an error does not carry.
            let script = format!("{binary} --data-dir {data_dir} doctor --json; true");
            let json = cluster.nodes()[index].host.run("sh", &["-c", &script]).expect("JSON");
            let found: Vec<Value> = serde_json::from_str(json.trim()).expect("JSON");
            let failed = found.iter().filter(|one| one["verdict"] == "failure");
            let texts = failed.map(|one| one["finding"].as_str().expect("words").to_owned());
            (texts.collect(), stderr)
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_broken_is_found_and_named() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let vip: IpAddr = VIP.parse().expect("an address");
    cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
    cluster.wait_for_holder("VI_1")?;
    cluster.cli(0, &["move", "VI_1", "--to", "ds1"])?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, Some(cluster.nodes()[0].port.mac), SOON)?;
    observer.stop()?;
    for index in 0..3 {
        assert_eq!(failures(&cluster, index).0, Vec::<String>::new());
    }

    // A machine that is no member has the VIP: the old pair's, forgotten.
    let stranger = Host::new("stranger")?;
    let port = cluster.lan.attach(&stranger, "eth0", 77)?;
    stranger.ip(&format!("addr add {VIP}/24 dev eth0"))?;
    let (found, line) = failures(&cluster, 0);
    let expected = format!(
        "{VIP} is held here, and {} on eth0 answers for it too: take it from that machine",
        port.mac
    );
    assert_eq!(found, [expected.as_str()]);
    assert!(line.contains(&format!("leasehold: a check failed: {expected}")), "{line}");
    assert_eq!(failures(&cluster, 1).0.len(), 1, "two machines answer, says a third");
    cluster.cli(0, &["move", "VI_1", "--to", "ds2"])?;
    let said = format!("{VIP} on eth0 is answered for by {} too", port.mac);
    cluster.daemon(1)?.wait_for_line(&said, SOON)?;
    stranger.ip(&format!("addr del {VIP}/24 dev eth0"))?;

    // A peer is cut off.
    cluster.lan.isolate(&cluster.nodes()[2].host)?;
    let (found, _) = failures(&cluster, 0);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("ds3 at 192.168.1."), "{found:?}");

    // Without a daemon it looks at the machine alone.
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    let text = cluster.cli(0, &["doctor"])?;
    assert!(text.contains("no daemon answers on"), "{text}");
    Ok(())
}
