//! How long a change takes to be everywhere. Bounds are generous: the figures are for reading
//! (`cargo test -p leasehold-raft speed -- --nocapture`).

use std::time::{Duration, Instant};

use super::cluster::{Cluster, token, within};

const ROUNDS: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_every_follower_soon() {
    let cluster = Cluster::of(3).await;
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        let mut state = cluster.group(3).state();
        let start = Instant::now();
        let index = cluster.group(1).propose(token(round)).await.unwrap().index;
        figures.leader.push(start.elapsed());
        within(state.wait_for(|state| state.applied >= index)).await.unwrap();
        figures.follower.push(start.elapsed());

        let start = Instant::now();
        cluster.group(2).propose(token(round)).await.unwrap();
        figures.forwarded.push(start.elapsed());

        let start = Instant::now();
        cluster.group(1).confirm().await.unwrap();
        figures.confirm.push(start.elapsed());
    }
    figures.print();
    assert!(median(&mut figures.follower) < Duration::from_millis(50));
}

#[derive(Default)]
struct Figures {
    leader: Vec<Duration>,
    follower: Vec<Duration>,
    forwarded: Vec<Duration>,
    confirm: Vec<Duration>,
}

impl Figures {
    fn print(&mut self) {
        show("proposed on the leader, applied there", &mut self.leader);
        show("proposed on the leader, applied on a follower", &mut self.follower);
        show("proposed on a follower, outcome known there", &mut self.forwarded);
        show("leadership proved", &mut self.confirm);
    }
}

fn show(what: &str, spans: &mut [Duration]) {
    let p50 = median(spans);
    let p99 = spans[spans.len() * 99 / 100];
    println!("{what}: p50 {p50:?}, p99 {p99:?}, of {}", spans.len());
}

fn median(spans: &mut [Duration]) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}
