//! An operator's word on a real server, and who sees which real server down.

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::peers::nginx::Nginx;
use leasehold_lab::{Host, LabError, Result, find_binary};
use serde_json::Value;

const VIP: &str = "192.168.1.100";
const WEB: &str = "192.168.1.100:80";

/// One virtual server of these real servers, each of which is checked once in half a second.
fn config(real: &[&str]) -> String {
    let vip = VIP.parse().expect("an address");
    let real: Vec<String> = real
        .iter()
        .map(|at| {
            format!(
                "{{ address = \"{at}\", check = [{{ type = \"tcp\", delay_loop_ms = 500, \
                 connect_timeout_ms = 300, retry = 0 }}] }}"
            )
        })
        .collect();
    format!(
        "{}[[virtual_server]]\naddress = \"{WEB}\"\nlb_algo = \"rr\"\nreal_server = [{}]\n",
        instance("VI_1", 51, &[vip]),
        real.join(", ")
    )
}

fn start() -> Result<Cluster> {
    Cluster::start(&Plan::new(find_binary()?))
}

/// What a director's status says of a real server.
fn real_server(cluster: &Cluster, director: usize, address: &str) -> Option<Value> {
    let status = cluster.status(director)?;
    let servers = status["virtual_servers"].as_array()?;
    let server = servers.iter().find(|one| one["name"] == WEB)?;
    let real = server["real_servers"].as_array()?;
    real.iter().find(|one| one["address"] == address).cloned()
}

/// Waits until every director says this of the operator's word.
fn wait_for_word(cluster: &Cluster, address: &str, word: Option<&str>) -> Result<()> {
    cluster.wait_for(&format!("{word:?} of {address} everywhere"), |this| {
        (0..this.nodes().len())
            .all(|director| {
                real_server(this, director, address)
                    .is_some_and(|real| real["override"].as_str() == word)
            })
            .then_some(())
    })
}

/// The director that does not lead, and the one that does.
fn follower(cluster: &Cluster) -> Result<(usize, usize)> {
    let leader = cluster.wait_for("a leader", Cluster::leader)?;
    let other = (0..cluster.nodes().len()).find(|one| *one != leader);
    other.map(|one| (one, leader)).ok_or_else(|| LabError::Argument("it is alone".to_owned()))
}

#[test]
fn a_word_said_to_one_director_is_known_to_all_and_outlives_them() -> Result<()> {
    let mut cluster = start()?;
    let (eight, nine) = ("192.168.1.8:80", "192.168.1.9:80");
    cluster.apply("toml", &config(&[eight, nine]))?;
    let (follower, leader) = follower(&cluster)?;
    wait_for_word(&cluster, nine, None)?;
    let said = cluster.cli(follower, &["rs", "drain", WEB, nine])?;
    assert_eq!(said.trim(), format!("{nine} of {WEB} takes no new connections"));
    wait_for_word(&cluster, nine, Some("drain"))?;
    wait_for_word(&cluster, eight, None)?;
    cluster.cli(leader, &["rs", "weight", "tcp://192.168.1.100:80", eight, "65535"])?;
    wait_for_word(&cluster, eight, Some("weight 65535"))?;
    cluster.cli(follower, &["rs", "disable", "192.168.1.100", "80", nine])?;
    wait_for_word(&cluster, nine, Some("disable"))?;
    let status = cluster.cli(follower, &["status"])?;
    let line = status.lines().find(|line| line.contains(nine)).unwrap_or_default();
    assert!(line.contains("disabled") && line.ends_with("operator: disable"), "{status}");

    let all = 0..cluster.nodes().len();
    for director in all.clone() {
        cluster.daemon(director)?.kill_tree()?;
        cluster.mark_down(director);
    }
    for director in all {
        cluster.run(director)?;
    }
    cluster.wait_for_voters()?;
    wait_for_word(&cluster, nine, Some("disable"))?;
    wait_for_word(&cluster, eight, Some("weight 65535"))?;

    let said = cluster.cli(follower, &["rs", "enable", WEB, nine])?;
    assert!(said.contains("disable is over"), "{said}");
    wait_for_word(&cluster, nine, None)?;
    // Another configuration of the same real server leaves it, and one without it does not.
    cluster.apply("toml", &config(&[nine, eight]))?;
    wait_for_word(&cluster, eight, Some("weight 65535"))?;
    let said = cluster.apply("toml", &config(&[nine]))?;
    println!("{said}");
    cluster.apply("toml", &config(&[nine, eight]))?;
    wait_for_word(&cluster, eight, None)
}

#[test]
fn a_name_that_is_not_there_is_refused_with_the_nearest() -> Result<()> {
    let cluster = start()?;
    cluster.apply("toml", &config(&["192.168.1.8:80"]))?;
    let (follower, _) = follower(&cluster)?;
    let refused =
        |words: &[&str]| cluster.cli(follower, words).expect_err("it is not there").to_string();
    let why = refused(&["rs", "drain", WEB, "192.168.1.8:81"]);
    let nearest =
        format!("192.168.1.8:81 is no real server of {WEB}; the nearest is 192.168.1.8:80");
    assert!(why.contains(&nearest), "{why}");
    let why = refused(&["rs", "enable", "192.168.1.100:8080", "192.168.1.8:80"]);
    let nearest = format!("no virtual server is called 192.168.1.100:8080; the nearest is {WEB}");
    assert!(why.contains(&nearest), "{why}");
    Ok(())
}

/// Every director that the leader heard, and whether it sees the real server down.
fn seen(cluster: &Cluster, leader: usize, address: &str) -> Option<(Vec<String>, Vec<String>)> {
    let real = real_server(cluster, leader, address)?;
    let down = real["down_for"].as_array()?.iter().map(|one| one["director"].as_str());
    let up = real["up_for"].as_array()?.iter().map(Value::as_str);
    let names = |all: Vec<Option<&str>>| -> Option<Vec<String>> {
        all.into_iter().map(|one| one.map(str::to_owned)).collect()
    };
    Some((names(down.collect())?, names(up.collect())?))
}

#[test]
fn a_real_server_that_one_director_can_not_reach_is_told_with_where_to_look() -> Result<()> {
    let cluster = start()?;
    let real = Host::new("rs1")?;
    cluster.lan.attach(&real, "eth0", 9)?;
    let nine = "192.168.1.9:80";
    let nginx = Nginx::start(&real)?;
    cluster.apply("toml", &config(&[nine]))?;
    let holder = cluster.wait_for_holder("VI_1")?;
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    let wait_for_seen = |down: &[String]| {
        let up: Vec<_> = names.iter().filter(|name| !down.contains(name)).cloned().collect();
        cluster.wait_for(&format!("{nine} down for {down:?} only"), |this| {
            let leader = this.leader()?;
            (seen(this, leader, nine)? == (down.to_vec(), up.clone())).then_some(leader)
        })
    };
    wait_for_seen(&[])?;
    let explained = cluster.cli(holder, &["explain", "VI_1"])?;
    assert!(!explained.contains(nine), "{explained}");

    cluster.nodes()[holder].host.ip("route add blackhole 192.168.1.9/32")?;
    let blind = names[holder].clone();
    let leader = wait_for_seen(std::slice::from_ref(&blind))?;
    let others: Vec<_> = names.iter().filter(|name| **name != blind).cloned().collect();
    let told = format!(
        "{WEB}: real server {nine} is down for {blind} (holder) and up for {}: look at the path \
         from {blind}",
        others.join(" and ")
    );
    let explained = cluster.cli(holder, &["explain", "VI_1"])?;
    assert!(explained.contains(&told), "{explained}");
    println!("{explained}");
    let status = cluster.cli(leader, &["status"])?;
    let note = format!("down for {blind}, up for {}", others.join(" "));
    assert!(status.contains(&note), "{status}");
    println!("{status}");

    // Down for all: nothing to tell apart.
    drop(nginx);
    wait_for_seen(&names)?;
    let explained = cluster.cli(holder, &["explain", "VI_1"])?;
    assert!(!explained.contains(nine), "{explained}");
    let status = cluster.status(leader).expect("a status");
    let counts = |status: &Value| -> Vec<Option<u64>> {
        let nodes = status["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| node["real_servers_down"].as_u64()).collect()
    };
    assert_eq!(counts(&status), [Some(1); 3]);
    // Only the leader hears the others.
    let (follower, _) = follower(&cluster)?;
    let known = counts(&cluster.status(follower).expect("a status"));
    let own = (0..3).map(|nth| (nth == follower).then_some(1)).collect::<Vec<_>>();
    assert_eq!(known, own);
    Ok(())
}
