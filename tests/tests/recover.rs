//! A majority is lost for good: one member's data becomes a new cluster, and only when told twice.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{PinDir, Result, Returns, find_binary};
use serde_json::Value;

/// Runs `recover` on a member, with this typed.
fn recover(cluster: &Cluster, index: usize, typed: &str) -> Output {
    let node = &cluster.nodes()[index];
    let mut child = Command::new("nsenter")
        .arg(format!("--net={}", node.host.path().display()))
        .arg(find_binary().expect("a binary"))
        .arg("--data-dir")
        .arg(&node.data_dir)
        .arg("recover")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter");
    // It may have refused before it read.
    let _ = child.stdin.take().expect("a pipe").write_all(typed.as_bytes());
    child.wait_with_output().expect("its output")
}

/// The line of a refusal.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().last().expect("a line").to_owned()
}

fn settings(data_dir: &Path) -> Value {
    let text = std::fs::read_to_string(data_dir.join("node.json")).expect("node.json");
    serde_json::from_str(&text).expect("JSON")
}

fn epoch(cluster: &Cluster, index: usize) -> u64 {
    let status = cluster.status(index).expect("status --json");
    status["instances"][0]["epoch"].as_u64().expect("an epoch")
}

#[test]
fn one_survivor_becomes_a_new_cluster_once_the_lost_are_named() -> Result<()> {
    let mut pins = Vec::new();
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
    cluster.wait_for_holder("VI_1")?;
    let export = cluster.cli(0, &["export"])?;
    let revision = cluster.status(0).expect("status")["cluster"]["revision"].clone();
    let data_dir = cluster.nodes()[0].data_dir.clone();
    let lost = settings(&data_dir);

    let said = refused(&recover(&cluster, 0, "ds2 ds3\n"));
    assert!(said.contains("is in use by pid"), "{said}");
    // The others go on without the survivor, and grant what it never hears of.
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    for _ in 0..30 {
        cluster
            .wait_for("a leader to make a token", |this| this.cli(1, &["token", "create"]).ok())?;
    }
    let holder = cluster.wait_for("a holder among the others", |this| {
        this.holder("VI_1").filter(|holder| *holder != 0)
    })?;
    let other = 3 - holder;
    cluster.cli(1, &["move", "VI_1", "--to", &cluster.nodes()[other].name])?;
    cluster
        .wait_for("the instance to move", |this| (this.holder("VI_1")? == other).then_some(()))?;
    let last_epoch = epoch(&cluster, other);
    for index in 1..3 {
        cluster.daemon(index)?.kill_tree()?;
        cluster.mark_down(index);
    }
    cluster.run(1)?;
    let said = refused(&recover(&cluster, 0, "ds2 ds3\n"));
    assert!(said.contains("ds2 answers at 192.168.1."), "{said}");
    cluster.daemon(1)?.kill_tree()?;
    cluster.mark_down(1);
    for typed in ["", "yes\n", "ds2\n", "ds3 ds2\n"] {
        let said = refused(&recover(&cluster, 0, typed));
        assert!(said.ends_with("is not `ds2 ds3`: nothing was changed"), "{said}");
        assert_eq!(settings(&data_dir), lost);
    }

    let done = recover(&cluster, 0, "ds2 ds3\n");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let new = settings(&data_dir);
    let name = |settings: &Value| settings["cluster"].as_str().expect("a name").to_owned();
    assert_ne!(name(&new), name(&lost));
    pins.push(PinDir::new(format!("/sys/fs/bpf/leasehold/{}-1", name(&new)))?);
    let kept = data_dir.with_added_extension(name(&lost));
    assert_eq!(settings(&kept), lost, "the old data is kept");

    cluster.run(0)?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, Some(cluster.nodes()[0].port.mac), SOON)?;
    assert_eq!(cluster.cli(0, &["export"])?, export);
    let status = cluster.status(0).expect("status");
    assert_eq!(status["cluster"]["revision"], revision);
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(1), "{status}");
    assert!(epoch(&cluster, 0) > last_epoch, "a token of the lost cluster is older");

    // One of the lost comes back: it is no member of this cluster, and no quorum of the other.
    cluster.run(1)?;
    // By now nobody has answered this voter for a long time, which has no others.
    let status = cluster.status(0).expect("status");
    assert_eq!(status["cluster"]["leader"], status["nodes"][0]["name"], "{status}");
    // Another joins anew.
    let added = cluster.add("ds4", "director", "default")?;
    cluster.wait_for("ds4 to be heard", |this| {
        let status = this.status(0)?;
        let mut nodes = status["nodes"].as_array()?.iter();
        nodes.any(|one| one["name"] == "ds4" && one["state"] == "up").then_some(())
    })?;
    cluster.cli(0, &["move", "VI_1", "--to", "ds4"])?;
    observer.wait_for(vip, Some(cluster.nodes()[added].port.mac), SOON)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(1)), []);
    Ok(())
}
