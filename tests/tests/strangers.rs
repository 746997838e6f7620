//! Who may not: used-up and damaged tokens, another cluster's, a second daemon, a removed member.

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::{Result, find_binary};

#[test]
fn a_token_admits_one_machine_once() -> Result<()> {
    let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    let other = Cluster::start(&Plan {
        directors: 1,
        subnet: "192.168.2.0/24",
        ..Plan::new(find_binary()?)
    })?;
    let peer = cluster.peer_address(0)?;
    let directory = cluster.nodes()[0].data_dir.parent().unwrap().join("new");
    let new = directory.display().to_string();
    let join = |token: &str, listen: &str| {
        let words = [
            "--data-dir",
            &new,
            "join",
            "--name",
            "x",
            "--listen",
            listen,
            "--token",
            token,
            &peer,
        ];
        let _ = std::fs::remove_dir_all(&directory);
        let binary = find_binary()?.display().to_string();
        cluster.nodes()[0].host.run(&binary, &words)
    };
    let listen = "192.168.1.77:7400";
    let foreign = other.cli(0, &["token", "create"])?;
    let refused = join(foreign.trim(), listen).unwrap_err().to_string();
    assert!(refused.contains("does not answer as a member of the token's cluster"), "{refused}");

    let token = cluster.cli(0, &["token", "create"])?;
    let token = token.trim();
    let mut damaged = token.to_owned();
    let last = damaged.pop().expect("a test directory");
    damaged.push(if last == '0' { '1' } else { '0' });
    let refused = join(&damaged, listen).unwrap_err().to_string();
    assert!(refused.contains("damaged"), "{refused}");

    join(token, listen)?;
    let written =
        |cluster: &Cluster| cluster.status(0).expect("status")["cluster"]["applied"].clone();
    let before = written(&cluster);
    let refused = join(token, "192.168.1.78:7400").unwrap_err().to_string();
    assert!(refused.contains("the token is unknown, or was used before"), "{refused}");
    assert_eq!(written(&cluster), before, "a stranger writes nothing to the log");

    let expiring = cluster.cli(0, &["token", "create", "--expires", "1"])?;
    cluster.wait_for("the token to expire", |_| {
        let refused = join(expiring.trim(), listen).err()?.to_string();
        // The address is taken already, which is told only while the token is good.
        refused.contains("expired").then_some(())
    })?;
    Ok(())
}

#[test]
fn a_data_directory_has_one_daemon() -> Result<()> {
    let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    let refused = cluster.cli(0, &["run"]).unwrap_err().to_string();
    assert!(refused.contains("in use"), "{refused}");
    Ok(())
}

#[test]
fn a_removed_member_is_out_and_holds_nothing() -> Result<()> {
    let cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let leader = cluster.leader().expect("a leader");
    let removed = (0..3).find(|index| *index != leader).expect("a test directory");
    let by = (0..3).find(|index| *index != removed).expect("a test directory");
    let name = cluster.nodes()[removed].name.clone();
    cluster.cli(by, &["member", "remove", &name])?;
    cluster.wait_for("two members", |this| {
        let status = this.status(by)?;
        (status["nodes"].as_array()?.len() == 2).then_some(())
    })?;
    // Its own changes are refused: its certificate no longer counts.
    assert!(cluster.cli(removed, &["drain", &name]).is_err());
    Ok(())
}
