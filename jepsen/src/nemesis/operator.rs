//! What an operator does on an ordinary day, amid everything else.

use std::sync::Arc;
use std::time::Duration;

use leasehold_lab::LabError;
use leasehold_lab::cluster::{Desk, Errand};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Command, Effect, F, Outcome, Recorder};
use crate::random::Random;
use crate::workload::document::{Change, Order};

/// The longest that `undrain` is waited for; what is not done then is asked again at the end.
const UNDRAIN_WITHIN: Duration = Duration::from_secs(8);

pub(super) fn r#move(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let (instance, to) = (random.below(site.instances), random.below(site.directors));
    Box::new(Move { instance, to, word: random.word(), errand: None })
}

pub(super) fn drain(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let target = Target::director(random, site);
    Box::new(Drain { target, word: random.word(), errand: None, drained: None })
}

pub(super) fn churn(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let (first, then) = match random.below(3) {
        0 => {
            let instance = random.below(site.instances);
            let director = random.below(site.directors);
            let priority = u8::try_from(1 + random.below(250)).unwrap_or(100);
            (Change::Priority { instance, director, priority }, None)
        }
        // From one group to another in one revision.
        1 => (Change::Wander { to: Some(random.below(site.instances)) }, None),
        // Gone, and back, perhaps elsewhere.
        _ => {
            let to = Some(random.below(site.instances));
            (Change::Wander { to: None }, Some(Change::Wander { to }))
        }
    };
    Box::new(Churn { first, then, orders: Vec::new() })
}

/// A command as an operation of the history: in doubt until it is answered.
fn say(desk: &Desk, recorder: &Arc<Recorder>, node: String, words: &[&str]) -> Errand {
    let recorder = Arc::clone(recorder);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let what = words.join(" ");
    desk.errand(&what, move |desk| {
        let me = recorder.fresh_process();
        let command = || F::Command(Command { words: words.clone(), node: Some(node.clone()) });
        // A full history ends the run elsewhere.
        let _ = recorder.invoke(me, command());
        let answer = desk.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let _ = match &answer {
            Ok(_) => recorder.ok(me, command()),
            Err(error) => recorder.info(me, command(), &error.to_string()),
        };
        answer
    })
}

/// What came of an errand that had all its time.
fn outcome(errand: Option<Errand>) -> Outcome {
    let reason = match errand.map(|errand| errand.answer(Duration::ZERO)) {
        Some(Some(Ok(_))) => return Outcome::Installed,
        Some(Some(Err(error))) => error.to_string(),
        Some(None) => "not answered in time".to_owned(),
        None => "not asked".to_owned(),
    };
    Outcome::Indeterminate { reason }
}

/// `leasehold move`.
#[derive(Debug)]
struct Move {
    instance: usize,
    to: usize,
    word: u64,
    errand: Option<Errand>,
}

impl Package for Move {
    fn legend(&self) -> String {
        format!("move of instance {} to director {}", self.instance + 1, self.to + 1)
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let (member, desk) = world.desk(self.word)?;
        let (instance, to) = (world.subjects[self.instance].name.clone(), world.name(self.to));
        let words = ["move", &instance, "--to", &to];
        self.errand = Some(say(&desk, &world.recorder, world.name(member), &words));
        Ok(Broken::installed(vec![to], Effect::default()))
    }

    fn heal(&mut self, _: &mut World) -> Result<Outcome, LabError> {
        Ok(outcome(self.errand.take()))
    }
}

/// `leasehold drain`, and `undrain`.
#[derive(Debug)]
struct Drain {
    target: Target,
    word: u64,
    errand: Option<Errand>,
    drained: Option<usize>,
}

impl Package for Drain {
    fn legend(&self) -> String {
        format!("drain of {:?}", self.target).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let director = world.resolve(self.target)?;
        let (member, desk) = world.desk(self.word)?;
        let name = world.name(director);
        self.drained = Some(director);
        self.errand = Some(say(&desk, &world.recorder, world.name(member), &["drain", &name]));
        Ok(Broken::installed(vec![name], Effect::default()))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let done = outcome(self.errand.take());
        let Some(director) = self.drained.take() else { return Ok(done) };
        let words = ["undrain".to_owned(), world.name(director)];
        let asked = world.desk(self.word).ok().map(|(member, desk)| {
            say(&desk, &world.recorder, world.name(member), &[&words[0], &words[1]])
        });
        let undone = matches!(asked.and_then(|errand| errand.answer(UNDRAIN_WITHIN)), Some(Ok(_)));
        // A drain that nobody answered may be carried out after its undoing.
        if !undone || done != Outcome::Installed {
            world.debts.push(words.to_vec());
        }
        Ok(done)
    }
}

/// The configuration changed by those who change it anyway: a worker takes the order up with its
/// next change.
#[derive(Debug)]
struct Churn {
    first: Change,
    then: Option<Change>,
    orders: Vec<Order>,
}

impl Package for Churn {
    fn legend(&self) -> String {
        match &self.then {
            None => format!("{:?}", self.first),
            Some(then) => format!("{:?}, then {then:?}", self.first),
        }
        .to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let Some(orders) = &world.orders else { return Err(Skipped::because("nobody changes it")) };
        match orders.place(self.first.clone()) {
            Some(order) => self.orders.push(order),
            None => return Err(Skipped::because("too many changes wait already")),
        }
        Ok(Broken::installed(Vec::new(), Effect::default()))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if let (Some(orders), Some(then)) = (&world.orders, self.then.take()) {
            // Where there is no room the address is put back at the end of the run.
            self.orders.extend(orders.place(then));
        }
        let done = self.orders.first().is_some_and(Order::is_done);
        Ok(if done {
            Outcome::Installed
        } else {
            Outcome::Indeterminate { reason: "no change went through meanwhile".to_owned() }
        })
    }
}
