//! `doctor` finds what was broken for it to find, and nothing on a machine that is well.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Host, PinDir, Program, Result, find_binary};
use serde_json::Value;

const VIP: &str = "192.168.1.100";

/// What it finds, less what it says of a test's directory in memory; and the line it ends with.
fn examine(cluster: &Cluster, index: usize) -> (Vec<Value>, String) {
    let node = &cluster.nodes()[index];
    let binary = find_binary().expect("a binary").display().to_string();
    let data_dir = node.data_dir.display().to_string();
    let line = match cluster.cli(index, &["doctor"]) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    // Where a check fails, the lab's own way of running a command gives no output.
    let script = format!("{binary} --data-dir {data_dir} doctor --json; true");
    let json = node.host.run("sh", &["-c", &script]).expect("JSON");
    let mut found: Vec<Value> = serde_json::from_str(json.trim()).expect("JSON");
    found.retain(|one| one["check"] != "disk");
    (found, line)
}

fn failures(cluster: &Cluster, index: usize) -> Vec<String> {
    let (found, _) = examine(cluster, index);
    let failed = found.iter().filter(|one| one["verdict"] == "failure");
    failed.map(|one| one["finding"].as_str().expect("words").to_owned()).collect()
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
        assert_eq!(failures(&cluster, index), Vec::<String>::new());
    }

    // A machine that is no member has the VIP: the old pair's, forgotten.
    let stranger = Host::new("stranger")?;
    let port = cluster.lan.attach(&stranger, "eth0", 77)?;
    stranger.ip(&format!("addr add {VIP}/24 dev eth0"))?;
    let (found, line) = (failures(&cluster, 0), examine(&cluster, 0).1);
    let expected = format!(
        "{VIP} is held here, and {} on eth0 answers for it too: take it from that machine",
        port.mac
    );
    assert_eq!(found, [expected.as_str()]);
    assert!(line.contains("failed: "), "{line}");
    assert_eq!(failures(&cluster, 1).len(), 1, "two machines answer, says a third");
    cluster.cli(0, &["move", "VI_1", "--to", "ds2"])?;
    let said = format!("{VIP} on eth0 is answered for by {} too", port.mac);
    cluster.daemon(1)?.wait_for_line(&said, SOON)?;
    stranger.ip(&format!("addr del {VIP}/24 dev eth0"))?;

    // A peer is cut off.
    cluster.lan.isolate(&cluster.nodes()[2].host)?;
    let found = failures(&cluster, 0);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("ds3 at 192.168.1."), "{found:?}");

    // Without a daemon it looks at the machine alone.
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    let (found, _) = examine(&cluster, 0);
    let said = |text: &str| found.iter().any(|one| one["finding"].to_string().contains(text));
    assert!(said("no daemon answers on"), "{found:?}");
    Ok(())
}

#[test]
fn the_fence_of_a_node_that_is_no_more_is_named_and_removed() -> Result<()> {
    let mut pins = Vec::new();
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let vip: IpAddr = VIP.parse().expect("an address");
    cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
    cluster.wait_for_holder("VI_1")?;
    cluster.cli(0, &["move", "VI_1", "--to", "ds1"])?;

    // ds1's disk is lost. The machine joins again, as the manual says, and its old fence stays.
    let lost = settings(&cluster.nodes()[0].data_dir);
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    cluster.cli(1, &["member", "remove", "ds1"])?;
    let token = cluster.cli(1, &["token", "create"])?;
    let host = &cluster.nodes()[0].host;
    let data_dir = cluster.nodes()[0].data_dir.with_added_extension("anew");
    let (binary, shown) = (find_binary()?.display().to_string(), data_dir.display().to_string());
    let listen = format!("{}:7400", cluster.nodes()[0].port.v4.expect("an address"));
    let peer = cluster.peer_address(1)?;
    let words = ["--data-dir", &shown, "join", "--name", "ds1", "--listen", &listen, "--token"];
    host.run(&binary, &[words.as_slice(), &[token.trim(), &peer]].concat())?;
    pins.push(PinDir::new(pin_dir(&settings(&data_dir)))?);
    let daemon = Program::new("ds1", &binary).args(["--data-dir", &shown, "run"]).start(host)?;
    daemon.wait_for_line(" up ", SOON)?;
    cluster.wait_for("ds1 to be heard", |this| {
        let nodes = this.status(this.leader()?)?;
        let mut nodes = nodes["nodes"].as_array()?.iter();
        nodes.any(|one| one["name"] == "ds1" && one["state"] == "up").then_some(())
    })?;

    let old = pin_dir(&lost);
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    // It may say that it is there and gone again before it says that it can't be.
    let _ = cluster.cli(1, &["move", "VI_1", "--to", "ds1"]);
    daemon.wait_for_line(&format!("leasehold doctor --remove-fence {old}"), SOON)?;
    let here = cluster.nodes()[0].port.mac;
    observer.wait_for_other(vip, here, SOON)?;
    let doctor = ["--data-dir", &shown, "doctor", "--remove-fence"];
    host.run(&binary, &[doctor.as_slice(), &[old.as_str()]].concat())?;
    cluster.wait_for("ds1 to take it", |this| {
        this.cli(1, &["move", "VI_1", "--to", "ds1"]).ok().map(drop)
    })?;
    observer.wait_for(vip, Some(here), SOON)?;
    let own = pin_dir(&settings(&data_dir));
    let refused = host.run(&binary, &[doctor.as_slice(), &[own.as_str()]].concat());
    assert!(refused.unwrap_err().to_string().contains("is the fence of this node"));
    daemon.kill_tree()?;
    Ok(())
}

fn settings(data_dir: &std::path::Path) -> Value {
    let text = std::fs::read_to_string(data_dir.join("node.json")).expect("node.json");
    serde_json::from_str(&text).expect("JSON")
}

fn pin_dir(settings: &Value) -> String {
    let cluster = settings["cluster"].as_str().expect("a name");
    format!("/sys/fs/bpf/leasehold/{cluster}-{}", settings["node"])
}
