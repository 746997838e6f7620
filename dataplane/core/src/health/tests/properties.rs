//! What holds whatever comes.

use proptest::prelude::*;

use super::*;

const REAL: [&str; 4] = ["10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80", "10.1.0.4:80"];

#[derive(Clone, Debug)]
enum Step {
    Find(usize, Finding),
    Say(usize, Option<Override>),
    /// Seconds go by.
    Wait(u64),
    /// The same configuration once more, and nothing known by its checks.
    Begin,
}

fn finding() -> impl Strategy<Value = Finding> {
    let verdict =
        prop_oneof![3 => Just(Some(Verdict::Up)), 3 => Just(Some(Verdict::Down)), 1 => Just(None)];
    let effect = prop_oneof![
        4 => Just(Effect::None),
        1 => (0..5_u16).prop_map(Effect::Set),
        1 => (-3..4_i32).prop_map(Effect::Add),
    ];
    (verdict, effect).prop_map(|(verdict, effect)| {
        let adjustment = Adjustment::of([effect]);
        Finding { verdict, adjustment }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        Just(None),
        Just(Some(Override::Drain)),
        Just(Some(Override::Disable)),
        (0..5_u16).prop_map(|weight| Some(Override::Weight(weight))),
    ];
    prop_oneof![
        8 => (0..REAL.len(), finding()).prop_map(|(index, finding)| Step::Find(index, finding)),
        2 => (0..REAL.len(), said).prop_map(|(index, said)| Step::Say(index, said)),
        2 => (1..40_u64).prop_map(Step::Wait),
        1 => Just(Step::Begin),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let real = (0..4_u16, any::<bool>(), prop::bool::weighted(0.3));
    let reals = prop::collection::vec(real, REAL.len());
    let sorry_server = prop::option::of(any::<bool>());
    let flaps = prop::option::of(1..3_u32);
    let quorum = (0..10_u32, 0..6_u32);
    (reals, sorry_server, flaps, quorum, any::<bool>()).prop_map(
        |(reals, with, flaps, quorum, all)| {
            let mut one = server("10.0.0.1:80", &REAL);
            for (real, (weight, inhibit, alpha)) in one.real_servers.iter_mut().zip(reals) {
                (real.weight, real.inhibit_on_failure, real.alpha) = (weight, inhibit, alpha);
                real.checks.push(tcp());
            }
            one.inhibit_on_failure = all;
            one.sorry_server = with.and_then(sorry);
            one.damping = flaps.and_then(damping);
            (one.quorum, one.hysteresis) = quorum;
            config(vec![one])
        },
    )
}

impl World {
    /// True where nothing but one real server and what it counts for can have changed.
    fn step(&mut self, step: &Step) -> Option<usize> {
        match step {
            Step::Find(index, finding) => {
                self.find(*index, *finding);
                return Some(*index);
            }
            Step::Say(index, said) => self.say(*index, *said),
            Step::Wait(count) => {
                self.now = self.now.after(Duration::from_secs(*count));
                let Self { config, health, overrides, now } = self;
                health.handle_timeout(config, overrides, *now);
            }
            Step::Begin => {
                let Self { config, health, overrides, now } = self;
                health.handle_config(config, &Findings::new(), overrides, *now);
            }
        }
        None
    }

    fn live(&self) -> u64 {
        (0..REAL.len()).map(|index| u64::from(self.effective(index).weight)).sum()
    }

    fn ups(&self) -> Vec<bool> {
        (0..REAL.len()).map(|index| self.stands(index).is_up()).collect()
    }
}

/// Lost below, gained at: from keepalived's words, and not from the code.
fn band(server: &VirtualServer) -> (u64, u64) {
    let total: u64 = server.real_servers.iter().map(|one| u64::from(one.weight)).sum();
    let quorum = u64::from(server.quorum).min(total).max(1);
    let hysteresis = u64::from(server.hysteresis).min(quorum - 1);
    (quorum - hysteresis, (quorum + hysteresis).min(total.max(1)))
}

fn looked(reporter: &mut Reporter, world: &World) -> Vec<Event> {
    let served = BTreeSet::new();
    let World { config, health, overrides, .. } = world;
    reporter.handle_facts(&Facts { config, health, overrides, served: &served });
    std::iter::from_fn(|| reporter.poll_event()).collect()
}

proptest! {
    #[test]
    fn the_table_has_no_server_that_is_down_but_inhibited(
        config in configs(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.step(step);
            let real = world.health.servers.values().flat_map(|view| view.real.values());
            let dampers = real.filter_map(|one| one.damper.as_ref()?.poll_timeout());
            let mut due: Vec<_> = dampers.collect();
            due.sort_unstable();
            let noted: Vec<_> = world.health.holds.iter().map(|(until, ..)| *until).collect();
            prop_assert_eq!(noted, due, "whoever is held is let go, once");
            let table = world.servers();
            let server = world.server();
            let mut addresses: Vec<_> = table.iter().map(|one| one.address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), table.len());
            let sorry_serves = server.sorry_server.is_some() && !world.quorum();
            for (index, real) in server.real_servers.iter().enumerate() {
                let entry = table.iter().find(|one| one.address == real.address);
                let Effective { standing, weight } = world.effective(index);
                let inhibited = server.inhibit_on_failure || real.inhibit_on_failure;
                let entry = entry.map(|one| one.weight);
                let wanted = if standing.is_up() && !sorry_serves {
                    Some(u32::from(weight))
                } else {
                    (inhibited || standing == Standing::Drained).then_some(0)
                };
                prop_assert_eq!(entry, wanted, "{:?} {:?}", standing, step);
            }
            let sorry = table.iter().find(|one| one.address == at("10.1.0.9:80"));
            let keeps = server.sorry_server.as_ref().is_some_and(|one| one.inhibit);
            let wanted = if sorry_serves { Some(1) } else { keeps.then_some(0) };
            prop_assert_eq!(sorry.map(|one| one.weight), wanted);
        }
    }

    #[test]
    fn a_quorum_turns_at_the_ends_of_its_band_and_never_within(
        config in configs(),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(config);
        let (lost_below, gained_at) = band(world.server());
        prop_assert_eq!(world.quorum(), world.live() >= lost_below, "the beginning");
        for step in &steps {
            let before = world.quorum();
            world.step(step);
            let live = world.live();
            let wanted = if live < lost_below {
                false
            } else if live >= gained_at {
                true
            } else {
                before
            };
            prop_assert_eq!(world.quorum(), wanted, "{} of {:?}", live, (lost_below, gained_at));
        }
    }

    #[test]
    fn each_change_is_told_once(
        config in configs(),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(config);
        let (mut all, mut one_by_one) = (Reporter::default(), Reporter::default());
        let began = looked(&mut all, &world);
        prop_assert_eq!(&began, &looked(&mut one_by_one, &world));
        let mut known: Vec<bool> = (0..REAL.len())
            .map(|index| world.stands(index) != Standing::Unproven)
            .collect();
        for step in &steps {
            let (ups, quorum) = (world.ups(), world.quorum());
            let alone = world.step(step);
            let events = looked(&mut all, &world);

            let mut wanted = Vec::new();
            for (index, (before, now)) in ups.into_iter().zip(world.ups()).enumerate() {
                let proven = world.stands(index) != Standing::Unproven;
                let first = proven && !known[index];
                known[index] |= proven;
                if first || before != now {
                    let address = world.server().real_servers[index].address;
                    wanted.push((Subject::RealServer(address), now));
                }
            }
            if quorum != world.quorum() {
                wanted.push((Subject::VirtualServer, world.quorum()));
            }
            let told: Vec<_> = events.iter().map(|one| (one.subject, one.up)).collect();
            prop_assert_eq!(told, wanted, "{:?}", step);

            // Looking at what changed alone tells the same.
            if let Some(index) = alone {
                let served = BTreeSet::new();
                let World { config, health, overrides, .. } = &world;
                let facts = Facts { config, health, overrides, served: &served };
                let server = &config.virtual_servers[0];
                one_by_one.handle_real_server(&facts, server, &server.real_servers[index]);
                let alone: Vec<_> = std::iter::from_fn(|| one_by_one.poll_event()).collect();
                prop_assert_eq!(alone, events);
            } else {
                prop_assert_eq!(looked(&mut one_by_one, &world), events);
            }
        }
    }

    /// However seldom it looks, what was told last is how it is, and nothing is told twice.
    #[test]
    fn whoever_looks_seldom_hears_how_it_is(
        config in configs(),
        steps in prop::collection::vec((step(), prop::bool::weighted(0.2)), 0..80),
    ) {
        let mut world = World::new(config);
        let mut reporter = Reporter::default();
        let mut last: BTreeMap<Subject, bool> = BTreeMap::new();
        for (step, looks) in &steps {
            world.step(step);
            if !looks {
                continue;
            }
            for event in looked(&mut reporter, &world) {
                prop_assert_ne!(last.insert(event.subject, event.up), Some(event.up));
            }
            let quorum = last.get(&Subject::VirtualServer).copied().unwrap_or(false);
            prop_assert_eq!(quorum, world.quorum());
            for (real, up) in world.server().real_servers.iter().zip(world.ups()) {
                if let Some(told) = last.get(&Subject::RealServer(real.address)) {
                    prop_assert_eq!(*told, up);
                }
            }
        }
    }
}
