//! A machine made a real server and unmade: exactly as it was, from wherever it was interrupted.

use std::path::{Path, PathBuf};

use leasehold_lab::vm::{inside, with_module};
use leasehold_lab::{Host, LabError, Lan, Result, find_binary};

const VIP: &str = "10.77.0.100";

/// A real server, its network, and where it remembers.
struct Site {
    host: Host,
    client: Host,
    _lan: Lan,
    state: PathBuf,
}

impl Site {
    fn new() -> Result<Site> {
        let lan = Lan::new("service", "10.77.0.0/24", None)?;
        let (host, client) = (Host::new("rs1")?, Host::new("client")?);
        lan.attach(&host, "eth0", 7)?;
        lan.attach(&client, "eth0", 50)?;
        host.ip("route add default via 10.77.0.1 metric 100")?;
        let state = std::env::temp_dir().join(format!("leasehold-{}", host.namespace()));
        Ok(Site { host, client, _lan: lan, state })
    }

    fn run(&self, words: &str) -> Result<String> {
        let binary = find_binary()?.display().to_string();
        let state = self.state.display().to_string();
        let mut all: Vec<&str> = vec!["realserver"];
        all.extend(words.split_whitespace());
        all.extend(["--state-dir", &state]);
        self.host.run(&binary, &all)
    }

    /// Everything that a real server's settings touch, word for word.
    fn dump(&self) -> Result<String> {
        let settings =
            "cd /proc/sys/net/ipv4/conf && grep . */arp_ignore */arp_announce */rp_filter";
        Ok([
            self.host.ip("-o addr show")?,
            self.host.ip("-br link show")?,
            self.host.ip("route show table all")?,
            self.host.run("sh", &["-c", settings])?,
        ]
        .concat())
    }

    /// Whether the client finds somebody who answers for the VIP.
    fn is_answered_for(&self) -> bool {
        self.client.run("arping", &["-c", "1", "-w", "1", "-I", "eth0", VIP]).is_ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// Packets that come for the VIP are taken in, though nobody is told that they would be.
fn is_silent_and_takes_packets_in(site: &Site) -> Result<()> {
    assert!(!site.is_answered_for(), "nobody may answer for the VIP");
    let port = site.host.ip("-o link show dev eth0")?;
    let mac = port.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    let mac = mac.ok_or_else(|| LabError::Argument("no hardware address".to_owned()))?;
    // As a director would send it on.
    site.client.ip(&format!("neigh replace {VIP} lladdr {mac} dev eth0"))?;
    site.client.run("ping", &["-c", "1", "-W", "2", VIP]).map(drop)
}

#[test]
fn dr_is_silent_takes_packets_in_and_leaves_no_trace() -> Result<()> {
    let site = Site::new()?;
    let before = site.dump()?;
    let printed = site.run(&format!("up --vip {VIP} --mode dr --print"))?;
    assert_eq!(site.dump()?, before, "printing changes nothing");
    let done = site.run(&format!("up --vip {VIP} --mode dr"))?;
    assert_eq!(done, printed);
    is_silent_and_takes_packets_in(&site)?;
    assert_eq!(site.run(&format!("up --vip {VIP} --mode dr"))?, "nothing to do\n");
    site.run(&format!("down --vip {VIP}"))?;
    assert_eq!(site.dump()?, before);
    assert_eq!(site.run(&format!("down --vip {VIP} --mode dr"))?, "nothing to do\n");
    Ok(())
}

/// As a kill between any two steps leaves it: remembered up to there, and done or not.
#[test]
fn wherever_it_was_interrupted_it_is_undone_exactly() -> Result<()> {
    let site = Site::new()?;
    let before = site.dump()?;
    let commands = site.run(&format!("up --vip {VIP} --mode dr --print"))?;
    let commands: Vec<&str> = commands.lines().collect();
    for steps in 0..=commands.len() {
        for last_was_done in [false, true] {
            site.run(&format!("up --vip {VIP} --mode dr"))?;
            forget_after(&site.state, steps);
            // What came after never happened.
            let undone = if last_was_done { steps } else { steps.saturating_sub(1) };
            for command in commands[undone..].iter().rev() {
                undo(&site.host, command)?;
            }
            site.run(&format!("down --vip {VIP}"))?;
            assert_eq!(site.dump()?, before, "after {steps} steps, done: {last_was_done}");
        }
    }
    Ok(())
}

fn forget_after(state: &Path, steps: usize) {
    let path = state.join("realserver.json");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let mut memory: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let done = memory["done"].as_array_mut().expect("a list");
    done.truncate(steps);
    std::fs::write(&path, memory.to_string()).expect("a disk");
}

fn undo(host: &Host, command: &str) -> Result<()> {
    if let Some(setting) = command.strip_prefix("sysctl -w ") {
        let name = setting.split('=').next().unwrap_or_default();
        return host.sysctl(name, "0");
    }
    host.ip(&command.replace("ip addr add", "addr del")).map(drop)
}

#[test]
fn what_another_vip_needs_and_what_another_hand_changed_stays() -> Result<()> {
    let site = Site::new()?;
    let before = site.dump()?;
    site.run(&format!("up --vip {VIP} --vip 10.77.0.101 --mode dr"))?;
    site.run(&format!("down --vip {VIP}"))?;
    let left = site.dump()?;
    assert!(left.contains("10.77.0.101/32") && !left.contains(VIP), "{left}");
    assert!(left.contains("all/arp_ignore:1"), "{left}");
    site.host.sysctl("net.ipv4.conf.all.arp_ignore", "2")?;
    let told = site.run("down --vip 10.77.0.101")?;
    assert!(told.contains("# net.ipv4.conf.all.arp_ignore is 2 and was set to 1: left as it is"));
    site.host.sysctl("net.ipv4.conf.all.arp_ignore", "0")?;
    assert_eq!(site.dump()?, before);
    Ok(())
}

#[test]
fn nat_gives_the_old_default_route_back() -> Result<()> {
    let site = Site::new()?;
    let before = site.dump()?;
    site.run(&format!("up --vip {VIP} --mode nat --gateway 10.77.0.254"))?;
    assert_eq!(site.host.ip("route show default")?.trim(), "default via 10.77.0.254 dev eth0");
    site.run(&format!("down --vip {VIP}"))?;
    assert_eq!(site.dump()?, before);
    let unreachable = site.run(&format!("up --vip {VIP} --mode nat --gateway 203.0.113.9"));
    let why = unreachable.expect_err("nobody can reach it").to_string();
    assert!(why.contains("ip -4 route replace default via 203.0.113.9"), "{why}");
    assert_eq!(site.dump()?, before, "the old route is still there");
    site.run(&format!("down --vip {VIP}"))?;
    assert_eq!(site.dump()?, before);
    Ok(())
}

#[test]
fn tun_has_a_tunnel_or_says_that_there_is_none() -> Result<()> {
    if !inside() {
        let site = Site::new()?;
        let before = site.dump()?;
        let refused = site.run(&format!("up --vip {VIP} --mode tun"));
        if let Err(refused) = refused {
            let why = refused.to_string();
            assert!(why.contains("this kernel has no tunl0: it takes the module ipip"), "{why}");
            assert_eq!(site.dump()?, before);
        }
    }
    with_module("ipip", "tun_has_a_tunnel_or_says_that_there_is_none", || {
        let site = Site::new()?;
        let before = site.dump()?;
        site.run(&format!("up --vip {VIP} --mode tun"))?;
        is_silent_and_takes_packets_in(&site)?;
        assert_eq!(site.run(&format!("up --vip {VIP} --mode tun"))?, "nothing to do\n");
        site.run(&format!("down --vip {VIP}"))?;
        assert_eq!(site.dump()?, before);
        Ok(())
    })
}

#[test]
fn what_can_not_be_is_refused_and_changes_nothing() -> Result<()> {
    let site = Site::new()?;
    site.host.ip(&format!("addr add {VIP}/24 dev eth0"))?;
    let before = site.dump()?;
    let refused = |words: &str| site.run(words).expect_err("it can't be").to_string();
    let cases = [
        (format!("up --vip {VIP} --mode dr"), format!("{VIP} is on eth0 already: take it off")),
        ("up --vip 127.0.0.1 --mode dr".to_owned(), "127.0.0.1 can't be a VIP".to_owned()),
        ("up --vip 224.0.0.18 --mode dr".to_owned(), "224.0.0.18 can't be a VIP".to_owned()),
        ("up --vip 10.0.0.1/24 --mode dr".to_owned(), "invalid IP address".to_owned()),
        (
            "up --vip 10.0.0.1 --mode dr --gateway 10.0.0.2".to_owned(),
            "--gateway is for --mode nat".to_owned(),
        ),
    ];
    for (words, wanted) in cases {
        let why = refused(&words);
        assert!(why.contains(&wanted), "{words}: {why}");
    }
    assert_eq!(site.dump()?, before);
    Ok(())
}
