//! Configurations are linearizable, by the order of their revisions (DESIGN, invariant 3).
//!
//! Every change has a revision, unique and totally ordered, so the order in which changes took
//! effect needs no search. Let `p(r)` be the instant at which revision `r` came into force; these
//! instants must increase with `r`, and
//! - whoever made `r` was under way at `p(r)`;
//! - whoever was answered with `r` was under way at some instant from `p(r)` to before `p(next)`,
//!   which, all else given, is: it ended after `p(r)` and began before `p(next)`;
//! - a `cas` that succeeded on `r` was answered with `r`, and its own revision is the next known.
//!
//! So every `p(r)` has a latest instant, the earliest end of any operation that knows `r` or a
//! later one, and an earliest, some operation's beginning. The latest never decrease with `r`, so
//! instants that increase exist if and only if no single earliest lies after the latest of the
//! same revision: one look at each operation. What nobody saw never helps an explanation, so an
//! operation in doubt counts only if a revision that was seen has no other maker. This is the
//! version order of Elle (Kingsbury and Alvaro, VLDB 2020) where versions are known outright.

mod makers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::makers::Doubtful;
use super::{Call, Judged, Run, Violation, calls};
use crate::history::{Cas, F, Kind, Op, Read, Revision, Version};

/// What a call says of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It made it.
    Made,
    /// It applied the document that this is, and so made it or found it.
    Applied,
    /// It found it in force.
    Saw,
    /// A member had it, and may have been behind.
    SawLocally,
}

/// A revision, with everything that was said of it.
#[derive(Debug, Default)]
struct Known<'a> {
    value: Option<(u64, &'a Op)>,
    said: Vec<(Part, Call<'a>)>,
    /// That of a `cas` which made it.
    predecessor: Option<Revision>,
}

#[derive(Debug)]
struct Order<'a> {
    first: Version,
    known: BTreeMap<Revision, Known<'a>>,
    doubtful: Vec<Doubtful<'a>>,
    violations: Vec<Violation>,
    judged: usize,
}

pub(super) fn judge(run: &Run) -> Judged {
    let calls = match calls(&run.history) {
        Ok(calls) => calls,
        Err(why) => return Judged::unclear(why),
    };
    let order = check(run.setup.first, &calls);
    if order.judged == 0 {
        return Judged::nothing("no configuration was read or written");
    }
    let note = format!(
        "{} operations on {} revisions; {} more in doubt",
        order.judged,
        order.known.len(),
        order.doubtful.len()
    );
    Judged::by(order.violations, &[], vec![note])
}

fn check<'a>(first: Version, calls: &[Call<'a>]) -> Order<'a> {
    let mut order = Order {
        first,
        known: BTreeMap::from([(first.revision, Known::default())]),
        doubtful: Vec::new(),
        violations: Vec::new(),
        judged: 0,
    };
    calls.iter().for_each(|call| order.note(*call));
    order.judge();
    order
}

impl<'a> Order<'a> {
    fn note(&mut self, call: Call<'a>) {
        match (call.f(), call.kind()) {
            (F::Read(Read { local, found: Some(found) }), Kind::Ok) => {
                let part = if local.is_some() { Part::SawLocally } else { Part::Saw };
                self.say(found.revision, part, call);
                self.value(found.revision, found.value, call);
            }
            (F::Write(write), Kind::Ok) => {
                let Some(revision) = write.revision else { return self.doubt(call) };
                self.say(revision, Part::Applied, call);
                self.value(revision, write.value, call);
            }
            (F::Cas(cas), Kind::Ok) => {
                let Some(revision) = cas.revision else { return self.doubt(call) };
                self.succeed(call, cas, revision);
            }
            (F::Cas(Cas { if_revision, revision: Some(found), .. }), Kind::Fail) => {
                if found == if_revision {
                    self.accuse(
                        call,
                        format!("was refused because {found} was in force, which it named"),
                    );
                }
                self.say(*found, Part::Saw, call);
            }
            (F::Write(_) | F::Cas(_), Kind::Info | Kind::Invoke) => self.doubt(call),
            // Nothing happened, or nothing is known of it.
            (
                F::Write(_) | F::Cas(_) | F::Read(_),
                Kind::Ok | Kind::Fail | Kind::Info | Kind::Invoke,
            )
            | (
                F::Get(_) | F::Command(_) | F::Start(_) | F::Stop(_) | F::Voters(_),
                Kind::Ok | Kind::Fail | Kind::Info | Kind::Invoke,
            ) => {}
        }
    }

    fn succeed(&mut self, call: Call<'a>, cas: &Cas, revision: Revision) {
        self.say(cas.if_revision, Part::Saw, call);
        self.value(revision, cas.value, call);
        if revision == cas.if_revision {
            // The document in force already makes no revision.
            return;
        }
        if revision < cas.if_revision {
            return self.accuse(call, format!("succeeded, and made an older revision, {revision}"));
        }
        self.say(revision, Part::Made, call);
        let predecessor = &mut self.known.entry(revision).or_default().predecessor;
        predecessor.get_or_insert(cas.if_revision);
    }

    fn say(&mut self, revision: Revision, part: Part, call: Call<'a>) {
        self.judged += 1;
        self.known.entry(revision).or_default().said.push((part, call));
    }

    fn value(&mut self, revision: Revision, value: u64, call: Call<'a>) {
        let first = self.first;
        let known = self.known.entry(revision).or_default();
        let other = match known.value {
            None if revision == first.revision => (first.value != value).then_some(first.value),
            None => {
                known.value = Some((value, call.completed.unwrap_or(call.invoked)));
                None
            }
            Some((other, _)) => (other != value).then_some(other),
        };
        if let Some(other) = other {
            let what = format!("has {value} in revision {revision}, which others have {other} in");
            self.accuse(call, what);
        }
    }

    fn doubt(&mut self, call: Call<'a>) {
        self.doubtful.extend(Doubtful::of(call));
    }

    fn accuse(&mut self, call: Call<'a>, what: String) {
        let at_ns = call.completed.unwrap_or(call.invoked).time_ns;
        self.violations.push(Violation::new(at_ns, format!("{} {what}", describe(&call))));
    }

    fn judge(&mut self) {
        let latest = self.latest();
        let accusations: Vec<(Call<'a>, String)> = makers::choose(self, &latest)
            .into_iter()
            .chain(self.out_of_order(&latest))
            .chain(self.interlopers())
            .collect();
        accusations.into_iter().for_each(|(call, what)| self.accuse(call, what));
    }

    /// For each revision but the first, whose end is the latest at which it can have come into
    /// force; of the revision that it knows.
    fn latest(&self) -> BTreeMap<Revision, (Call<'a>, Revision)> {
        let mut latest = BTreeMap::new();
        let mut least: Option<(Call<'a>, Revision)> = None;
        for (revision, known) in self.known.iter().rev() {
            let own = known.said.iter().map(|(_, call)| (*call, *revision));
            least = least.into_iter().chain(own).min_by_key(|(call, _)| call.before());
            if let Some(least) = least.filter(|_| *revision > self.first.revision) {
                latest.insert(*revision, least);
            }
        }
        latest
    }

    /// Whoever found a revision in force, though it began after a newer one was known.
    fn out_of_order(
        &self,
        latest: &BTreeMap<Revision, (Call<'a>, Revision)>,
    ) -> Vec<(Call<'a>, String)> {
        let mut found = Vec::new();
        let mut latest = latest.iter().peekable();
        for (revision, known) in &self.known {
            while latest.next_if(|(newer, _)| *newer <= revision).is_some() {}
            let Some((_, (proof, newer))) = latest.peek() else { continue };
            for (part, call) in &known.said {
                let behind = match part {
                    Part::SawLocally => false,
                    Part::Made | Part::Applied | Part::Saw => call.after() > proof.before(),
                };
                if behind {
                    let what = format!(
                        "began after {} had ended, and found the older revision {revision} in \
                         force, not {newer}",
                        describe(proof)
                    );
                    found.push((*call, what));
                }
            }
        }
        found
    }

    /// Whatever came between a `cas` and the revision that it named.
    fn interlopers(&self) -> Vec<(Call<'a>, String)> {
        let mut found = Vec::new();
        let mut previous: Option<Revision> = None;
        for (revision, known) in &self.known {
            let between = previous.replace(*revision);
            let Some(named) = known.predecessor else { continue };
            if between == Some(named) {
                continue;
            }
            let maker = known.said.iter().find(|(part, _)| *part == Part::Made);
            found.extend(maker.map(|(_, call)| {
                let between = between.map_or_else(|| "none".to_owned(), |it| it.to_string());
                (*call, format!("made {revision}, though {between} had come after {named}"))
            }));
        }
        found
    }
}

/// An operation, for people.
fn describe(call: &Call<'_>) -> String {
    let what = match call.f() {
        F::Read(Read { local: Some(node), .. }) => format!("local read at {node}"),
        F::Read(_) => "read".to_owned(),
        F::Write(write) => format!("write of {}", write.value),
        F::Cas(cas) => format!("cas of {} on revision {}", cas.value, cas.if_revision),
        F::Get(_) | F::Command(_) | F::Start(_) | F::Stop(_) | F::Voters(_) => {
            call.f().name().to_owned()
        }
    };
    format!("{what} (operation {}, process {})", call.invoked.index, call.invoked.process)
}
