//! Who is back with a higher priority takes the VIP again, later or not at all, as keepalived's
//! `preempt_delay` and `nopreempt` say: judged by a client on the wire.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::{Observation, Observer, Result, Returns, find_binary, now_ns};

const INSTANCE: &str = "VI_1";
const PREFERRED: usize = 0;
const OTHER: usize = 1;
/// Ten times what a move takes.
const PATIENT: Duration = Duration::from_secs(3);
const DELAY: Duration = Duration::from_secs(8);

/// The file of one of a pair, with a script that always ends well.
fn keepalived(priority: u8, word: &str) -> String {
    format!(
        "vrrp_script chk_haproxy {{\n    script \"/usr/bin/true\"\n    interval 2\n    weight 2\n}}\n\
         vrrp_instance {INSTANCE} {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    \
         priority {priority}\n    advert_int 1\n    authentication {{\n        auth_type PASS\n        \
         auth_pass myPassw0\n    }}\n    virtual_ipaddress {{\n        192.168.1.200/24\n    }}\n    \
         track_script {{\n        chk_haproxy\n    }}\n    {word}\n}}\n"
    )
}

struct World {
    cluster: Cluster,
    vip: IpAddr,
    observer: Observer,
}

impl World {
    fn start(word: &str) -> Result<Self> {
        let plan = Plan { directors: 2, witness: true, ..Plan::new(find_binary()?) };
        let cluster = Cluster::start(&plan)?;
        let vip = "192.168.1.200".parse().expect("an address");
        let observer = cluster.lan.observe(&cluster.client, &[vip])?;
        let world = Self { cluster, vip, observer };
        // The word counts from when the preferred one has it.
        world.apply("")?;
        world.wait_for(PREFERRED)?;
        world.apply(word)?;
        Ok(world)
    }

    fn apply(&self, word: &str) -> Result<()> {
        let directory = self.cluster.nodes()[0].data_dir.parent().expect("one for all").to_owned();
        let files = [("ds1", 100), ("ds2", 90)].map(|(name, priority)| {
            let file = directory.join(format!("{name}.conf"));
            std::fs::write(&file, keepalived(priority, word)).expect("a test directory");
            format!("{name}={}", file.display())
        });
        let any = self.cluster.any_up()?;
        let toml = self.cluster.cli(any, &["import", &files[0], &files[1]])?;
        self.cluster.apply("toml", &toml).map(drop)
    }

    fn wait_for(&self, director: usize) -> Result<u64> {
        let mac = self.cluster.nodes()[director].port.mac;
        Ok(self.observer.wait_for(self.vip, Some(mac), SOON)?.received_ns)
    }

    /// The preferred one dies, the other takes over, and the preferred one is back. Returns when it
    /// was started.
    fn lose_and_regain(&mut self) -> Result<u64> {
        self.cluster.daemon(PREFERRED)?.kill_tree()?;
        self.cluster.mark_down(PREFERRED);
        self.wait_for(OTHER)?;
        let started = now_ns();
        self.cluster.run(PREFERRED)?;
        // From now on it could hold it: that it has said.
        self.cluster.wait_for("the preferred one to be a candidate", |cluster| {
            let why = cluster.cli(OTHER, &["explain", INSTANCE]).ok()?;
            let line = why.lines().find(|line| line.trim_start().starts_with("ds1"))?;
            (line.contains("priority 102") && line.contains(", eligible")).then_some(())
        })?;
        Ok(started)
    }

    /// And not given away because its holder was too slow.
    fn is_preempted(&self) -> bool {
        self.cluster.instance(INSTANCE).is_some_and(|one| one["cause"] == "preempted")
    }

    /// Which of the two was the first to answer after that instant, and when.
    fn first_answer(&self, seen: &Observation, director: usize, from_ns: u64) -> Option<u64> {
        let mac = self.cluster.nodes()[director].port.mac;
        let answers = &seen.records[&self.vip].answers;
        let mut after = answers.iter().filter(|one| one.received_ns >= from_ns);
        after.find(|one| one.mac == mac).map(|one| one.received_ns)
    }
}

#[test]
fn with_nopreempt_it_stays_where_it_is() -> Result<()> {
    let mut world = World::start("nopreempt")?;
    let started = world.lose_and_regain()?;
    let mac = world.cluster.nodes()[PREFERRED].port.mac;
    let early = world.observer.wait_for(world.vip, Some(mac), PATIENT).is_ok();
    assert!(!(early && world.is_preempted()), "it took it from the other");
    // Nothing but that word kept it there.
    let preempts = now_ns();
    world.apply("")?;
    world.wait_for(PREFERRED)?;
    let seen = world.observer.snapshot();
    let first = world.first_answer(&seen, PREFERRED, started).expect("it answers now");
    assert!(early || first > preempts, "it answered {} ns too early", preempts - first);
    assert_eq!(seen.duplicates(world.vip, Returns::AtMost(1)), []);
    // And where the other is gone, the word keeps nobody from serving.
    world.apply("nopreempt")?;
    world.cluster.daemon(PREFERRED)?.kill_tree()?;
    world.cluster.mark_down(PREFERRED);
    world.wait_for(OTHER).map(drop)
}

#[test]
fn with_preempt_delay_it_comes_back_when_that_is_over() -> Result<()> {
    let mut world = World::start(&format!("preempt_delay {}", DELAY.as_secs()))?;
    let started = world.lose_and_regain()?;
    let why = world.cluster.cli(OTHER, &["explain", INSTANCE])?;
    assert!(why.contains("takes it in"), "{why}");
    world.wait_for(PREFERRED)?;
    let seen = world.observer.snapshot();
    let back = world.first_answer(&seen, PREFERRED, started).expect("it answers now");
    let waited = Duration::from_nanos(back - started);
    assert!(waited >= DELAY || !world.is_preempted(), "only {waited:?}");
    assert_eq!(seen.duplicates(world.vip, Returns::AtMost(1)), []);
    Ok(())
}
