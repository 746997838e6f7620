//! How exact the fence's deadlines are, and what a takeover of many VIPs costs.
//!
//! `cargo bench -p leasehold-dataplane --bench takeover [-- ROUNDS VIPS]`, as root. A client in
//! another namespace asks without pause; what it hears is held against the deadline.

#![allow(clippy::unwrap_used, reason = "a bench that fails has failed")]
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/bed/mod.rs"]
mod bed;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bed::{Bed, Client, GROUP, LIFETIME, VIP, VIP6, ahead, binding};
use leasehold_dataplane::Kernel;
use leasehold_dataplane::fence::{Gate, boot_now};
use leasehold_dataplane::frame::Arp;
use leasehold_dataplane::plan::Binding;
use leasehold_model::BootNanos;

/// How long each round keeps the VIP open, and how long after it the client goes on asking.
const OPEN: Duration = Duration::from_millis(20);
const AFTER: Duration = Duration::from_millis(20);

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let rounds = numbers.next().unwrap_or(200);
    let vips = numbers.next().unwrap_or(1000);
    for vip in [VIP.into(), VIP6.into()] {
        deadlines(vip, rounds);
    }
    takeover(vips);
}

fn deadlines(vip: IpAddr, rounds: usize) {
    let bed = Bed::new();
    let mut gate = bed.fence().gate().unwrap();
    bed.bind(vip);
    let client = bed.client();
    let (mut first, mut last, mut write) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let round = round(&client, &mut gate, vip);
        first.extend(round.first);
        last.extend(round.last);
        write.push(round.write);
    }
    println!("{vip}: {rounds} rounds open for {OPEN:?}");
    show("deadline written, map write", &mut write);
    show("first answer after the write", &mut first);
    show("last answer after the deadline (negative: before)", &mut last);
}

struct Round {
    write: i128,
    first: Option<i128>,
    last: Option<i128>,
}

fn round(client: &Client, gate: &mut Gate, vip: IpAddr) -> Round {
    let question = match vip {
        IpAddr::V4(vip) => client.arp_question(vip),
        IpAddr::V6(vip) => client.nd_question(vip),
    };
    while client.received().is_some() {}
    let opened = boot_now();
    let deadline = opened.after(OPEN);
    gate.open_until(GROUP, deadline).unwrap();
    let written = boot_now();
    let (mut first, mut last) = (None, None);
    while boot_now() < deadline.after(AFTER) {
        client.send(&question);
        while let Some((frame, heard)) = client.received() {
            if client.is_answer(&frame, vip) {
                first.get_or_insert(between(written, heard));
                last = Some(between(deadline, heard));
            }
        }
    }
    Round { write: between(opened, written), first, last }
}

fn between(from: BootNanos, to: BootNanos) -> i128 {
    i128::from(to.0) - i128::from(from.0)
}

fn show(what: &str, nanos: &mut [i128]) {
    nanos.sort_unstable();
    let at = |percent: usize| nanos.get((nanos.len() * percent / 100).min(nanos.len() - 1));
    let micros = |nanos: Option<&i128>| *nanos.unwrap_or(&0) / 1000;
    println!(
        "  {what}: p50 {} us, p99 {} us, min {} us, max {} us (of {})",
        micros(at(50)),
        micros(at(99)),
        micros(nanos.first()),
        micros(nanos.last()),
        nanos.len()
    );
}

fn many(count: usize) -> Vec<Binding> {
    let address = |number: usize| {
        let [.., high, low] = u32::try_from(number + 1).unwrap().to_be_bytes();
        IpAddr::from(Ipv4Addr::new(10, 78, high, low))
    };
    (0..count).map(|number| Binding { prefix: 32, ..binding(address(number)) }).collect()
}

fn takeover(count: usize) {
    let bed = Bed::new();
    let client = bed.client();
    let pin_dir = bed.pin_dir.clone();
    println!("{count} VIPs of one group on one interface");
    bed::block_in_ns(&bed.director, move || async move {
        let bindings = many(count);
        let vips: BTreeSet<IpAddr> = bindings.iter().map(|one| one.address).collect();

        let mut clock = Clock(Instant::now());
        let mut kernel = Kernel::open(Some(&pin_dir)).unwrap();
        clock.lap("load the fence and hang it");
        kernel.fence_vips(&vips.iter().map(|vip| (*vip, GROUP)).collect()).unwrap();
        clock.lap("put the VIPs behind it");
        kernel.take(&bindings, LIFETIME).await.unwrap();
        clock.lap("take: bind and read back");
        kernel.refresh(&bindings, LIFETIME).await.unwrap();
        clock.lap("refresh every lifetime");
        kernel.reconcile(&bindings, &vips, LIFETIME).await.unwrap();
        clock.lap("reconcile, nothing to do");

        let listener = std::thread::spawn(move || {
            let mut left = vips;
            let until = Instant::now() + Duration::from_secs(5);
            while !left.is_empty()
                && let Some(frame) = client.receive(until)
            {
                if let Some(arp) = Arp::parse(&frame) {
                    left.remove(&arp.sender.into());
                }
            }
            (Instant::now(), left.len())
        });
        clock.lap("start the listener");
        let mut gate = kernel.fence.as_ref().unwrap().gate().unwrap();
        gate.open_until(GROUP, ahead(LIFETIME)).unwrap();
        let opened = Instant::now();
        clock.lap("open");
        kernel.announce(&bindings).await.unwrap();
        clock.lap("announce");
        let (heard, missed) = listener.join().unwrap();
        println!(
            "  the last announcement was heard {:?} after the opening, {missed} were not heard",
            heard.duration_since(opened)
        );
        clock.0 = Instant::now();
        kernel.release(&bindings).await.unwrap();
        clock.lap("release: close and unbind");
    });
}

struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        println!("  {what}: {:?}", self.0.elapsed());
        self.0 = Instant::now();
    }
}
