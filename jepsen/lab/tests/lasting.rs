//! Faults that last: relays, losses and disks do what they say, and end.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use leasehold_lab::disk::{Disk, Make};
use leasehold_lab::relay::Manners;
use leasehold_lab::{Host, Lan, Result, now_ns};

const PATIENCE: Duration = Duration::from_secs(20);

struct Pair {
    lan: Lan,
    one: Host,
    other: Host,
    to: SocketAddrV4,
}

/// Two hosts, the second of which sends back what it is told.
fn pair(subnet: &str) -> Result<Pair> {
    let lan = Lan::new("lasting", subnet, None)?;
    let (one, other) = (Host::new("one")?, Host::new("other")?);
    lan.attach(&one, "eth0", 1)?;
    let port = lan.attach(&other, "eth0", 2)?;
    let to = SocketAddrV4::new(port.v4.expect("it has an address"), 7);
    let listener = other.enter(|| TcpListener::bind(to))?.expect("the port is free");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut told = Vec::new();
            // Whoever goes away early wants no answer.
            let _ = stream.read_to_end(&mut told).and_then(|_| stream.write_all(&told));
        }
    });
    Ok(Pair { lan, one, other, to })
}

impl Pair {
    /// Tells so many bytes and hears them again; how long that took.
    fn echo(&self, bytes: usize) -> Result<std::io::Result<Duration>> {
        self.one.enter(|| {
            let begun_ns = now_ns();
            let mut stream = TcpStream::connect(self.to)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let told = vec![7; bytes];
            stream.write_all(&told)?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard)?;
            assert_eq!(heard, told);
            Ok(Duration::from_nanos(now_ns() - begun_ns))
        })
    }
}

#[test]
fn a_relay_delays_reorders_and_repeats_and_harms_nothing() -> Result<()> {
    let pair = pair("10.79.0.0/24")?;
    let (delay, jitter) = (Duration::from_millis(40), Duration::from_millis(20));
    let manners = Manners { delay, jitter, repeated_percent: 30, ..Manners::default() };
    let out = pair.lan.relay(&pair.one, &[&pair.other], manners, 1)?;
    // Segments that the kernel has yet to cut, and checksums that it has yet to fill in.
    let took = pair.echo(200_000)?.expect("it arrives whole");
    assert!(took >= delay * 2, "a connection and an exchange took {took:?}");
    assert!(out.passed() > 0);
    pair.lan.bypass(out)?;
    assert!(pair.echo(1000)?.expect("the bridge passes it again") < delay);
    Ok(())
}

#[test]
fn a_loss_loses_some_and_ends() -> Result<()> {
    let pair = pair("10.80.0.0/24")?;
    let asked = |count: &str| {
        let to = pair.to.ip().to_string();
        // Loss makes it exit with 1: what it counted is what matters.
        let line = format!("ping -q -c {count} -i 0.01 -W 1 {to} || true");
        pair.one.run("sh", &["-c", &line])
    };
    pair.echo(1)?.expect("nothing is lost yet");
    pair.lan.lose(&[&pair.one], &[&pair.other], 50)?;
    let text = asked("100")?;
    assert!(!text.contains(" 0% packet loss") && !text.contains("100% packet loss"), "{text}");
    pair.lan.lose(&[&pair.one], &[&pair.other], 0)?;
    let text = asked("20")?;
    assert!(text.contains(" 0% packet loss"), "{text}");
    Ok(())
}

#[test]
fn a_disk_is_full_until_it_is_freed_and_stalls_until_it_thaws() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("leasehold-lasting-{}", std::process::id()));
    let disk = Disk::make(Make::Ext4, directory.clone(), 16)?;
    let file = directory.join("file");
    let write = || std::fs::write(&file, vec![1_u8; 8192]);
    write().expect("there is room");
    disk.fill()?;
    std::fs::remove_file(&file).expect("it was written");
    std::fs::write(directory.join("last"), vec![1_u8; 8192]).expect("the room that it had");
    let full = write().and_then(|()| std::fs::write(directory.join("more"), vec![1_u8; 65_536]));
    assert_eq!(full.expect_err("it is full").kind(), std::io::ErrorKind::StorageFull);
    disk.free()?;
    write().expect("there is room again");
    disk.stall()?;
    assert!(disk.is_stalled());
    let (told, done) = std::sync::mpsc::sync_channel(1);
    let other = directory.join("other");
    let writer = std::thread::spawn(move || {
        let _ = told.send(std::fs::write(other, b"late"));
    });
    assert!(done.recv_timeout(Duration::from_millis(200)).is_err(), "a write waits");
    disk.thaw()?;
    done.recv_timeout(PATIENCE).expect("it goes on").expect("and is done");
    writer.join().expect("it ended");
    drop(disk);
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("Linux has it");
    assert!(!mounts.contains(&directory.display().to_string()));
    let _ = std::fs::remove_dir_all(&directory);
    Ok(())
}
