//! The judge before real kernels: it must catch two answerers, and acquit an honest move.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::{
    DuplicateKind, End, Host, Lan, Observation, Observer, Port, Result, Returns, now_ns,
};

const LIMIT: Duration = Duration::from_secs(10);

struct Site {
    lan: Lan,
    ds1: Host,
    ds2: Host,
    port1: Port,
    port2: Port,
    client: Host,
}

impl Site {
    fn new() -> Result<Site> {
        let lan = Lan::new("judge", "10.77.0.0/24", Some("fd77::/64"))?;
        let (ds1, ds2, client) = (Host::new("ds1")?, Host::new("ds2")?, Host::new("client")?);
        let (port1, port2) = (lan.attach(&ds1, "eth0", 11)?, lan.attach(&ds2, "eth0", 12)?);
        lan.attach(&client, "eth0", 50)?;
        Ok(Site { lan, ds1, ds2, port1, port2, client })
    }

    fn observe(&self, vip: IpAddr) -> Result<Observer> {
        self.lan.observe(&self.client, &[vip])
    }
}

fn host_address(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

fn no_frame_was_lost(seen: &Observation) {
    assert_eq!(seen.frames_lost, 0);
}

fn two_that_bind_the_same_address_are_caught(vip: &str) -> Result<()> {
    let site = Site::new()?;
    let vip = vip.parse().unwrap();
    site.ds1.add_address("eth0", &host_address(vip))?;
    let observer = site.observe(vip)?;
    observer.wait_for(vip, Some(site.port1.mac), LIMIT)?;
    site.ds2.add_address("eth0", &host_address(vip))?;
    observer.wait_for(vip, Some(site.port2.mac), LIMIT)?;
    let seen = observer.stop()?;
    let duplicates = seen.duplicates(vip, Returns::AtMost(0));
    assert!(duplicates.iter().any(|found| found.kind == DuplicateKind::TwoAnswerers), "{seen:?}");
    no_frame_was_lost(&seen);
    Ok(())
}

fn a_clean_move_is_acquitted_and_timed(vip: &str) -> Result<()> {
    let site = Site::new()?;
    let vip = vip.parse().unwrap();
    let address = host_address(vip);
    site.ds1.add_address("eth0", &address)?;
    let observer = site.observe(vip)?;
    observer.wait_for(vip, Some(site.port1.mac), LIMIT)?;
    let fault = now_ns();
    site.ds1.ip(&format!("addr del {address} dev eth0"))?;
    let deleted = now_ns();
    observer.wait_for_silence(vip, Duration::from_millis(30), LIMIT)?;
    let adding = now_ns();
    site.ds2.add_address("eth0", &address)?;
    observer.wait_for(vip, Some(site.port2.mac), LIMIT)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(0)), []);
    let outage = seen.outage(vip, fault).unwrap();
    assert_eq!((outage.before, outage.after), (Some(site.port1.mac), Some(site.port2.mac)));
    assert!(outage.length_ns >= adding - deleted, "{outage}");
    assert!(outage.from_ns <= deleted && outage.until_ns.unwrap() >= adding, "{outage}");
    no_frame_was_lost(&seen);
    Ok(())
}

#[test]
fn two_that_bind_the_same_ipv4_address_are_caught() -> Result<()> {
    two_that_bind_the_same_address_are_caught("10.77.0.100")
}

#[test]
fn two_that_bind_the_same_ipv6_address_are_caught() -> Result<()> {
    two_that_bind_the_same_address_are_caught("fd77::100")
}

#[test]
fn a_clean_move_of_an_ipv4_address_is_acquitted_and_timed() -> Result<()> {
    a_clean_move_is_acquitted_and_timed("10.77.0.100")
}

#[test]
fn a_clean_move_of_an_ipv6_address_is_acquitted_and_timed() -> Result<()> {
    a_clean_move_is_acquitted_and_timed("fd77::100")
}

/// Moves the address to and fro as fast as `ip` runs, and returns the evidence.
fn moves(rounds: usize, break_first: bool) -> Result<Observation> {
    let site = Site::new()?;
    let vip = "10.77.0.100".parse().unwrap();
    let (add, del) = (format!("addr add {vip}/32 dev eth0"), format!("addr del {vip}/32 dev eth0"));
    site.ds1.ip(&add)?;
    let observer = site.observe(vip)?;
    let sides = [(&site.ds1, site.port1.mac), (&site.ds2, site.port2.mac)];
    for round in 0..rounds {
        let ((from, mac), (to, _)) = (sides[round % 2], sides[(round + 1) % 2]);
        observer.wait_for(vip, Some(mac), LIMIT)?;
        if break_first {
            from.ip(&del)?;
            to.ip(&add)?;
        } else {
            to.ip(&add)?;
            from.ip(&del)?;
        }
    }
    observer.wait_for(vip, Some(sides[rounds % 2].1), LIMIT)?;
    observer.stop()
}

#[test]
fn fifty_quick_and_honest_moves_are_all_acquitted() -> Result<()> {
    let (seen, vip) = (moves(50, true)?, "10.77.0.100".parse().unwrap());
    assert_eq!(seen.reigns(vip).len(), 51);
    assert_eq!(seen.duplicates(vip, Returns::AtMost(49)), []);
    // The next reign but one begins after two starts of `ip` at the earliest.
    assert_eq!(seen.duplicates(vip, Returns::Settled(2_000_000)), []);
    Ok(())
}

#[test]
fn a_move_that_binds_before_it_unbinds_is_caught_however_short() -> Result<()> {
    // An overlap lasts about as long as the pause between two questions: some slip through.
    let (seen, vip) = (moves(40, false)?, "10.77.0.100".parse().unwrap());
    let overlaps = seen.duplicates(vip, Returns::AtMost(39));
    let caught: std::collections::BTreeSet<u64> =
        overlaps.iter().map(|duplicate| duplicate.sent_ns).collect();
    assert!(caught.len() >= 3, "{overlaps:?}");
    Ok(())
}

#[test]
fn an_address_that_nobody_has_is_never_answered_for() -> Result<()> {
    let site = Site::new()?;
    let (bound, free): (IpAddr, IpAddr) =
        ("10.77.0.100".parse().unwrap(), "10.77.0.101".parse().unwrap());
    site.ds1.add_address("eth0", &host_address(bound))?;
    let observer = site.lan.observe(&site.client, &[bound, free])?;
    for _ in 0..20 {
        observer.wait_for(bound, None, LIMIT)?;
    }
    let seen = observer.stop()?;
    assert!(seen.records[&free].sent_ns.len() >= 20);
    assert_eq!(seen.records[&free].answers, []);
    assert_eq!(seen.outage(free, 0), None);
    assert_eq!(seen.worst_outage(0).unwrap().vip, free);
    Ok(())
}

#[test]
fn a_client_feels_the_lost_announcement_that_the_witness_does_not() -> Result<()> {
    let site = Site::new()?;
    let client = Host::new("client")?;
    site.lan.attach(&client, "eth0", 51)?;
    for vip in ["10.77.0.100", "fd77::100"] {
        let vip: IpAddr = vip.parse().unwrap();
        site.ds1.add_address("eth0", &host_address(vip))?;
        let (witness, felt) = (site.observe(vip)?, site.lan.observe_echo(&client, &[vip])?);
        witness.wait_for(vip, Some(site.port1.mac), LIMIT)?;
        felt.wait_for(vip, None, LIMIT)?;
        let fault = now_ns();
        // Nobody announces the move, so the client's neighbour entry names the old director.
        site.ds1.ip(&format!("addr del {} dev eth0", host_address(vip)))?;
        site.ds2.add_address("eth0", &host_address(vip))?;
        witness.wait_for(vip, Some(site.port2.mac), LIMIT)?;
        felt.wait_for_silence(vip, Duration::from_millis(200), LIMIT)?;
        client.ip("neigh flush dev eth0")?;
        felt.wait_for(vip, None, LIMIT)?;
        let (seen, felt) = (witness.stop()?, felt.stop()?);
        let (seen, felt) = (seen.outage(vip, fault).unwrap(), felt.outage(vip, fault).unwrap());
        assert!(felt.length_ns >= 200_000_000 && seen.length_ns < felt.length_ns, "{seen}; {felt}");
    }
    Ok(())
}

#[test]
fn an_announcement_is_no_answer_but_is_noted() -> Result<()> {
    let site = Site::new()?;
    let vip = "10.77.0.100".parse().unwrap();
    site.ds1.add_address("eth0", &host_address(vip))?;
    let observer = site.observe(vip)?;
    observer.wait_for(vip, None, LIMIT)?;
    site.ds2.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
    site.ds2.add_address("lo", &host_address(vip))?;
    site.ds2.run("arping", &["-c", "1", "-U", "-I", "eth0", "-s", "10.77.0.100", "10.77.0.100"])?;
    observer.wait_for(vip, None, LIMIT)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(0)), []);
    let stray = seen.stray_claims(vip);
    assert_eq!(stray.iter().map(|claim| claim.mac).collect::<Vec<_>>(), [site.port2.mac]);
    Ok(())
}

#[test]
fn the_observer_survives_its_own_link_going_down() -> Result<()> {
    let site = Site::new()?;
    let vip = "10.77.0.100".parse().unwrap();
    site.ds1.add_address("eth0", &host_address(vip))?;
    let observer = site.observe(vip)?;
    observer.wait_for(vip, None, LIMIT)?;
    let fault = now_ns();
    site.lan.link_down(&site.client, End::Host)?;
    observer.wait_for_silence(vip, Duration::from_millis(50), LIMIT)?;
    site.lan.link_up(&site.client, End::Host)?;
    observer.wait_for(vip, None, LIMIT)?;
    let outage = observer.stop()?.outage(vip, fault).unwrap();
    // It did not ask, so the length says nothing of the director, and the report shows it.
    assert!(outage.unasked_ns >= 45_000_000, "{outage}");
    Ok(())
}

#[test]
fn a_thousand_addresses_take_turns() -> Result<()> {
    let site = Site::new()?;
    let vips: Vec<IpAddr> =
        (0..1000).map(|n| IpAddr::from([10, 78, (n / 250) as u8, (n % 250) as u8 + 1])).collect();
    let lines: Vec<String> = vips.iter().map(|vip| format!("addr add {vip}/32 dev eth0")).collect();
    site.ds1.ip_batch(&lines)?;
    let observer = site.lan.observe(&site.client, &vips)?;
    observer.wait_for_all(LIMIT)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates_total(Returns::AtMost(0)), 0);
    no_frame_was_lost(&seen);
    Ok(())
}
