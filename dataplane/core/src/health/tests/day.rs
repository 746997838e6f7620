//! A day of two hundred targets that come and go, each asked every second.
//!
//! What is told is compared with an account that is kept beside it in the plainest way: counters,
//! and the list of all falls. Nothing may grow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const SERVERS: usize = 20;
const EACH: usize = 10;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Numbers that look random and are the same each time (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// One real server as it is, and the plain account of what should be told of it.
struct Target {
    checker: Checker,
    answers: bool,
    turns_at: u64,
    /// It stays as it is for a time between one second and twice this.
    steadiness: u64,
    up: bool,
    run: u32,
    falls: Vec<u64>,
    held_until: u64,
    /// When it turned, and which way.
    turned: Vec<(u64, bool)>,
    told: Vec<(u64, bool)>,
}

impl Target {
    fn answer(&mut self, now: u64, dice: &mut Dice) -> Answer {
        while now >= self.turns_at {
            self.answers = !self.answers;
            let steadiness = if self.answers { self.steadiness } else { 10 * SECOND };
            self.turns_at += SECOND + dice.roll(2 * steadiness);
        }
        if dice.roll(200) == 0 {
            return Answer::Unknown;
        }
        if !self.answers {
            return Answer::Failed;
        }
        let weight = u16::try_from(dice.roll(3000) / 1000).expect("small");
        if self.steadiness > 300 * SECOND {
            Answer::Passed(Effect::Set(weight))
        } else {
            Answer::PASSED
        }
    }

    /// The plain account. `check` and `damping` as configured.
    fn account(&mut self, passed: bool, check: &Check, damping: Option<Damping>, now: u64) {
        self.let_go(now);
        self.run = if passed == self.up { 0 } else { self.run + 1 };
        let needed = if self.up { check.retry + 1 } else { check.rise };
        if self.run < needed {
            return;
        }
        self.up = passed;
        self.run = 0;
        if let (false, Some(damping)) = (self.up, damping) {
            self.falls.push(now);
            let window = u64::from(damping.window_ms) * 1_000_000;
            let recent = self.falls.iter().rev().take_while(|fall| now - **fall <= window);
            if recent.count() > damping.flaps as usize || now < self.held_until {
                self.held_until = now + u64::from(damping.hold_ms) * 1_000_000;
            }
        }
        self.turn(self.up && now >= self.held_until, now);
    }

    fn let_go(&mut self, now: u64) {
        if self.up && now >= self.held_until {
            self.turn(true, self.held_until);
        }
    }

    fn turn(&mut self, up: bool, now: u64) {
        if self.turned.last().is_none_or(|(_, last)| *last) != up {
            self.turned.push((now, up));
        }
    }
}

fn day_config() -> Config {
    let servers = (0..SERVERS).map(|number| {
        let real: Vec<String> =
            (0..EACH).map(|index| format!("10.1.{number}.{index}:80")).collect();
        let real: Vec<&str> = real.iter().map(String::as_str).collect();
        let mut one = server(&format!("10.0.0.1:{}", 1000 + number), &real);
        (one.quorum, one.hysteresis) = (5, 2);
        one.damping =
            (number % 2 == 0).then_some(Damping { flaps: 3, window_ms: 600_000, hold_ms: 120_000 });
        let (retry, rise) = [(0, 1), (1, 1), (2, 3), (1, 2)][number % 4];
        let times = Check { delay_loop_ms: 1000, delay_before_retry_ms: 500, ..tcp() };
        let check = Check { retry, rise, ..times };
        one.real_servers.iter_mut().for_each(|real| real.checks.push(check.clone()));
        one
    });
    config(servers.collect())
}

struct Day {
    config: Config,
    health: Health,
    reporter: Reporter,
    overrides: Overrides,
    targets: Vec<Target>,
    /// By virtual server: what its quorum was seen to be, and what was told of it.
    quorums: Vec<(Vec<bool>, Vec<bool>)>,
}

impl Day {
    fn new(dice: &mut Dice) -> Self {
        let config = day_config();
        let mut health = Health::default();
        let overrides = Overrides::new();
        health.handle_config(&config, &Findings::new(), &overrides, seconds(0));
        let reals = config.virtual_servers.iter().flat_map(|one| &one.real_servers);
        let targets = reals.map(|real| Target {
            // All have passed once.
            checker: Checker::continuing(
                &real.checks[0],
                false,
                Verdict::Up,
                dice.roll(u64::MAX),
                seconds(0),
            ),
            answers: true,
            turns_at: dice.roll(60 * SECOND),
            steadiness: [20, 60, 400, 3600][usize::try_from(dice.roll(4)).expect("small")] * SECOND,
            up: true,
            run: 0,
            falls: Vec::new(),
            held_until: 0,
            turned: Vec::new(),
            told: Vec::new(),
        });
        let targets = targets.collect();
        let quorums = vec![(Vec::new(), Vec::new()); SERVERS];
        let reporter = Reporter::default();
        let mut day = Self { config, health, reporter, overrides, targets, quorums };
        for number in 0..SERVERS {
            day.look(number, None, 0);
        }
        day
    }

    /// Looks at a virtual server, or at one of its real servers alone, and notes what is told.
    fn look(&mut self, number: usize, index: Option<usize>, now: u64) {
        let Self { config, health, overrides, reporter, targets, quorums } = self;
        let served = BTreeSet::new();
        let facts = Facts { config, health, overrides, served: &served };
        let server = &config.virtual_servers[number];
        match index {
            Some(index) => {
                reporter.handle_real_server(&facts, server, &server.real_servers[index]);
            }
            None => reporter.handle_server(&facts, server),
        }
        let (seen, told) = &mut quorums[number];
        while let Some(event) = reporter.poll_event() {
            assert_eq!(event.server, server.key());
            match event.subject {
                Subject::VirtualServer => told.push(event.up),
                Subject::RealServer(address) => {
                    let reals = &server.real_servers;
                    let index = reals.iter().position(|one| one.address == address);
                    let index = number * EACH + index.expect("configured");
                    targets[index].told.push((now, event.up));
                }
            }
        }
        let quorum = health.has_quorum(server);
        if seen.last() != Some(&quorum) {
            seen.push(quorum);
        }
    }

    fn ask(&mut self, index: usize, dice: &mut Dice, now: u64) {
        let server = &self.config.virtual_servers[index / EACH];
        let real = &server.real_servers[index % EACH];
        let target = &mut self.targets[index];
        let answer = target.answer(now, dice);
        match answer {
            Answer::Passed(_) => target.account(true, &real.checks[0], server.damping, now),
            Answer::Failed => target.account(false, &real.checks[0], server.damping, now),
            Answer::Unknown => {}
        }
        if !target.checker.handle_answer(answer, BootNanos(now)) {
            return;
        }
        let finding = Finding::of([Said::from(&target.checker)]);
        let (health, overrides) = (&mut self.health, &self.overrides);
        if health.handle_finding(server, real, finding, overrides, BootNanos(now)) {
            self.look(index / EACH, Some(index % EACH), now);
        }
    }

    fn let_go(&mut self, now: u64) {
        let Self { config, health, overrides, .. } = self;
        let names = health.handle_timeout(config, overrides, BootNanos(now));
        let of = |one: &Name| config.virtual_servers.iter().position(|server| server.key() == *one);
        let numbers: Vec<usize> = names.iter().filter_map(of).collect();
        assert_eq!(numbers.len(), names.len());
        for number in numbers {
            self.look(number, None, now);
        }
    }

    /// What is kept, counted piece by piece, is no more than what the configuration asks for.
    fn is_bounded(&self) {
        assert!(self.reporter.queue.is_empty());
        assert_eq!(self.reporter.told.len(), SERVERS);
        assert!(self.reporter.told.values().all(|page| page.real.len() == EACH));
        assert_eq!(self.health.servers.len(), SERVERS);
        assert!(self.health.holds.len() <= SERVERS * EACH / 2);
        for (view, server) in self.health.servers.values().zip(&self.config.virtual_servers) {
            assert_eq!(view.real.len(), EACH);
            let dampers: Vec<_> =
                view.real.values().filter_map(|one| one.damper.as_ref()).collect();
            assert_eq!(dampers.is_empty(), server.damping.is_none());
            assert!(dampers.iter().all(|one| one.falls.len() <= 4));
        }
    }
}

#[test]
fn a_day_of_flapping_is_told_in_full_and_leaves_nothing_behind() {
    let mut dice = Dice(0x1ea5_e401);
    let mut day = Day::new(&mut dice);
    let mut due: BinaryHeap<Reverse<(BootNanos, usize)>> = BinaryHeap::new();
    let next = |target: &Target| target.checker.poll_timeout().expect("none is suspended");
    due.extend(day.targets.iter().enumerate().map(|(index, one)| Reverse((next(one), index))));
    let (mut asked, mut hours) = (0_u64, 0);
    loop {
        let mut first = due.peek_mut().expect("all are asked for ever");
        let Reverse((at, index)) = *first;
        if let Some(until) = day.health.poll_timeout().filter(|until| *until <= at) {
            if until.0 >= DAY {
                break;
            }
            day.let_go(until.0);
            continue;
        }
        if at.0 >= DAY {
            break;
        }
        day.ask(index, &mut dice, at.0);
        *first = Reverse((next(&day.targets[index]), index));
        asked += 1;
        if at.0 / (3600 * SECOND) > hours {
            hours += 1;
            day.is_bounded();
        }
    }
    day.is_bounded();
    assert_eq!((hours, due.len()), (23, SERVERS * EACH));
    assert!(asked > 16_000_000, "{asked}");

    let mut turns = 0;
    let mut held = 0;
    for target in &mut day.targets {
        if target.held_until < DAY {
            target.let_go(DAY);
        }
        assert_eq!(target.told, target.turned);
        turns += target.turned.len();
        held += usize::from(target.held_until > 0);
    }
    assert!(turns > 20_000, "it was a quiet day: {turns}");
    assert!(held > SERVERS * EACH / 4, "few were held: {held}");
    let gained_and_lost: usize = day.quorums.iter().map(|(seen, _)| seen.len()).sum();
    for (seen, told) in &day.quorums {
        assert_eq!(told, seen);
    }
    assert!(gained_and_lost > 10 * SERVERS, "quorums hardly turned: {gained_and_lost}");
    println!("{asked} answers, {turns} turns of real servers, {gained_and_lost} of quorums");
}
