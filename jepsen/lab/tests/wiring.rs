//! Hosts, links, cuts and processes do what their names say, and leave nothing behind.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::{End, Host, Lan, PinDir, Program, Result, Traffic, sweep, until};
use nix::sys::signal::Signal;

const LIMIT: Duration = Duration::from_secs(10);

/// Three hosts; the third sees whatever happens between the first two.
fn three() -> Result<(Lan, [Host; 3])> {
    let lan = Lan::new("wiring", "10.78.0.0/24", Some("fd78::/64"))?;
    let hosts = [Host::new("a")?, Host::new("b")?, Host::new("c")?];
    for (n, host) in hosts.iter().enumerate() {
        lan.attach(host, "eth0", n as u16 + 1)?;
    }
    Ok((lan, hosts))
}

fn reaches(host: &Host, address: &str) -> bool {
    host.run("ping", &["-c", "1", "-W", "1", address]).is_ok()
}

#[test]
fn a_partition_leaves_the_third_host_reachable() -> Result<()> {
    let (lan, [a, b, c]) = three()?;
    assert!(reaches(&a, "10.78.0.2") && reaches(&a, "fd78::2"));
    lan.partition(&[&a], &[&b])?;
    assert!(!reaches(&a, "10.78.0.2") && !reaches(&b, "fd78::1"));
    assert!(reaches(&a, "10.78.0.3") && reaches(&c, "10.78.0.2"));
    lan.heal_all()?;
    assert!(reaches(&a, "10.78.0.2"));
    lan.isolate(&a)?;
    assert!(!reaches(&a, "10.78.0.3") && reaches(&b, "10.78.0.3"));
    assert!(a.ip("-br link show eth0")?.contains("LOWER_UP"));
    Ok(())
}

#[test]
fn a_one_way_cut_lets_the_other_way_pass() -> Result<()> {
    let (lan, [a, b, _]) = three()?;
    // Static neighbours: only the direction of the echo itself is to decide.
    let (from_a, from_b) = (lan.port(&a)?.mac, lan.port(&b)?.mac);
    a.ip(&format!("neigh replace 10.78.0.2 lladdr {from_b} dev eth0 nud permanent"))?;
    b.ip(&format!("neigh replace 10.78.0.1 lladdr {from_a} dev eth0 nud permanent"))?;
    let received = |host: &Host| -> Result<u64> {
        let text = host.run("cat", &["/proc/net/snmp"])?;
        let line = text.lines().filter(|line| line.starts_with("Icmp:")).nth(1).unwrap();
        Ok(line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap())
    };
    lan.cut(&[&b], &[&a], Traffic::All)?;
    let before = (received(&a)?, received(&b)?);
    assert!(!reaches(&a, "10.78.0.2"));
    assert_eq!((received(&a)?, received(&b)?), (before.0, before.1 + 1));
    lan.mend(&[&b], &[&a], Traffic::All)?;
    assert!(reaches(&a, "10.78.0.2"));
    Ok(())
}

#[test]
fn a_cut_of_one_tcp_port_leaves_the_rest() -> Result<()> {
    let (lan, [a, b, _]) = three()?;
    let listen = || std::net::TcpListener::bind(("10.78.0.2", 7400));
    let _listener = b.enter(listen)?.unwrap();
    let other = b.enter(|| std::net::TcpListener::bind(("10.78.0.2", 7401)))?.unwrap();
    let connects = |port: u16| {
        let address = (IpAddr::from([10, 78, 0, 2]), port).into();
        let limit = Duration::from_millis(500);
        a.enter(|| std::net::TcpStream::connect_timeout(&address, limit).is_ok())
    };
    assert!(connects(7400)?);
    lan.cut(&[&b], &[&a], Traffic::Tcp(7400))?;
    assert!(!connects(7400)? && connects(7401)?);
    drop(other);
    Ok(())
}

#[test]
fn the_end_of_a_cable_decides_what_the_host_sees() -> Result<()> {
    let (lan, [a, b, _]) = three()?;
    lan.link_down(&a, End::Bridge)?;
    until("the host to see the loss of carrier", LIMIT, || {
        a.ip("-br link show eth0").ok()?.contains("NO-CARRIER").then_some(())
    })?;
    lan.link_up(&a, End::Bridge)?;
    assert!(reaches(&b, "10.78.0.1"));
    lan.link_down(&a, End::Host)?;
    assert!(a.ip("-br link show eth0")?.contains("DOWN"));
    lan.heal_all()?;
    assert!(reaches(&b, "10.78.0.1"));
    Ok(())
}

#[test]
fn a_host_may_be_in_two_lans() -> Result<()> {
    let service = Lan::new("service", "10.79.0.0/24", None)?;
    let control = Lan::new("control", "10.80.0.0/24", None)?;
    let (a, b) = (Host::new("a")?, Host::new("b")?);
    for (n, host) in [(1, &a), (2, &b)] {
        service.attach(host, "eth0", n)?;
        control.attach(host, "eth1", n)?;
    }
    service.partition(&[&a], &[&b])?;
    assert!(!reaches(&a, "10.79.0.2") && reaches(&a, "10.80.0.2"));
    Ok(())
}

/// A shell whose child would outlive it.
fn parent_and_child(host: &Host) -> Result<leasehold_lab::Process> {
    let program =
        Program::new("family", "sh").args(["-c", "setsid sleep 1000 & echo ready >&2; wait"]);
    let process = program.start(host)?;
    process.wait_for_line("ready", LIMIT)?;
    until("the child to be seen", LIMIT, || (process.tree().len() == 2).then_some(()))?;
    Ok(process)
}

#[test]
fn a_tree_is_killed_although_its_root_is_dead() -> Result<()> {
    let host = Host::new("tree")?;
    let process = parent_and_child(&host)?;
    process.kill(Signal::SIGKILL)?;
    assert!(!process.wait(LIMIT)?.success());
    assert!(process.kill(Signal::SIGTERM).is_err());
    assert_eq!(process.tree().len(), 1);
    process.kill_tree()?;
    assert_eq!(process.tree(), Vec::<i32>::new());
    Ok(())
}

#[test]
fn a_frozen_tree_goes_on_when_thawed() -> Result<()> {
    let host = Host::new("frozen")?;
    let program = "while :; do echo tick; sleep 0.01; done";
    let process = Program::new("ticker", "sh").args(["-c", program]).start(&host)?;
    process.wait_for_line("tick", LIMIT)?;
    process.freeze_tree()?;
    let mark = process.mark();
    let unheard = process.wait_for_line_after(mark + 1, "tick", Duration::from_millis(100));
    assert!(unheard.is_err());
    process.thaw_tree();
    process.wait_for_line_after(mark + 1, "tick", LIMIT)?;
    Ok(())
}

#[test]
fn everything_is_gone_after_a_panic() -> Result<()> {
    let host = Host::new("brief")?;
    let path = host.path();
    let process = parent_and_child(&host)?;
    let pids = process.tree();
    let test = std::thread::spawn(move || {
        let _both = (host, process);
        panic!("as a failing test does");
    });
    assert!(test.join().is_err());
    assert!(!path.exists());
    // An orphan stays as a zombie until the machine's first process collects it.
    let lives = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    };
    assert!(!pids.iter().any(lives));
    Ok(())
}

/// Not a test of its own: what `a_sweep_removes_what_a_killed_test_left` runs and kills.
#[test]
fn litter() -> Result<()> {
    if std::env::var_os("LAB_LITTER").is_none() {
        return Ok(());
    }
    let host = Host::new("litter")?;
    let process = parent_and_child(&host)?;
    let _pins = PinDir::new(format!("/sys/fs/bpf/leasehold/litter-{}", std::process::id()))?;
    eprintln!("LITTER {} {:?}", host.namespace(), process.tree());
    process.wait(Duration::from_secs(60)).map(drop)
}

#[test]
fn a_sweep_removes_what_a_killed_test_left() -> Result<()> {
    let mine = Host::new("mine")?;
    let litterer = Program::new("litterer", std::env::current_exe().unwrap())
        .args(["--exact", "litter", "--nocapture"])
        .env("LAB_LITTER", "1")
        .start(&mine)?;
    let line = litterer.wait_for_line("LITTER", LIMIT)?;
    let namespace = line.split_ascii_whitespace().nth(1).unwrap();
    litterer.kill(Signal::SIGKILL)?;
    litterer.wait(LIMIT)?;
    let left = format!("/run/netns/{namespace}");
    assert!(std::path::Path::new(&left).exists());
    // Another test's lab may sweep first; what counts is that it is gone, and that mine stays.
    sweep();
    assert!(!std::path::Path::new(&left).exists());
    assert!(mine.path().exists());
    Ok(())
}

#[test]
fn pins_are_removed_below_one_directory_only() {
    assert!(PinDir::new("/sys/fs/bpf/other").is_err());
    assert!(PinDir::new("/sys/fs/bpf/leasehold/../other").is_err());
}
