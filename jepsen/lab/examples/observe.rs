//! What the witness costs and how late it is: `observe [ADDRESSES] [SECONDS] [4|6]`.

#![expect(clippy::print_stdout, reason = "an example's result is what it prints")]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use leasehold_lab::{Host, Lan, Result, Returns, now_ns, until};
use nix::sys::resource::{UsageWho, getrusage};

fn main() -> Result<()> {
    let argument = |n: usize, default: u64| {
        std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (count, seconds, family) = (argument(1, 1), argument(2, 5), argument(3, 4));
    let lan = Lan::new("observe", "10.77.0.0/16", Some("fd77::/64"))?;
    let (director, witness) = (Host::new("director")?, Host::new("witness")?);
    lan.attach(&director, "eth0", 11)?;
    lan.attach(&witness, "eth0", 50)?;
    let vips: Vec<IpAddr> = (0..count)
        .map(|n| match family {
            6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, n as u16).into(),
            _ => IpAddr::from([10, 77, (n / 250) as u8 + 10, (n % 250) as u8 + 1]),
        })
        .collect();
    let lines: Vec<String> = vips
        .iter()
        .map(|vip| match vip {
            IpAddr::V4(vip) => format!("addr add {vip}/32 dev eth0"),
            IpAddr::V6(vip) => format!("addr add {vip}/128 dev eth0 nodad"),
        })
        .collect();
    director.ip_batch(&lines)?;

    let observer = lan.observe(&witness, &vips)?;
    observer.wait_for_all(Duration::from_secs(30))?;
    let (began, cpu_began) = (now_ns(), cpu_ns());
    until("the observation", Duration::from_secs(seconds + 1), || {
        (now_ns() >= began + seconds * 1_000_000_000).then_some(())
    })?;
    let (cpu, wall) = (cpu_ns() - cpu_began, now_ns() - began);
    let seen = observer.stop()?;

    let asked: usize = seen.records.values().map(|record| record.sent_ns.len()).sum();
    let answered: usize = seen.records.values().map(|record| record.answers.len()).sum();
    let late = vips.iter().map(|vip| seen.unasked_ns(*vip, began, began + wall)).max();
    println!("addresses {count}, {seconds} s, IPv{family}");
    println!("questions {asked}, answers {answered}, frames lost {}", seen.frames_lost);
    println!("longest time unasked {:.1} ms", late.unwrap_or(0) as f64 / 1e6);
    if let Some(outage) = seen.worst_outage(began) {
        println!("longest silence {outage}");
    }
    println!("duplicates {}", seen.duplicates_total(Returns::AtMost(0)));
    println!("CPU {:.2} % of one core", cpu as f64 / wall as f64 * 100.0);
    Ok(())
}

fn cpu_ns() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_usec() as u64 * 1_000)
        .sum()
}
