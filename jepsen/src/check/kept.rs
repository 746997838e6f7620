//! Configurations are linearizable, by stateright's search (DESIGN, invariant 3).
//!
//! `LinearizabilityTester` is written and kept by others, and knows nothing of version orders: it
//! tries every order that real time allows. That takes time exponential in what overlaps, and it
//! can't be stopped, so it is given windows: cut where no answered operation is under way, of
//! bounded length. A window after the first begins with a configuration that is not known, but
//! for being at least as new as all that was told of before; so it may let pass what spans
//! windows, which [`versions`](super::versions) does not, and accuses nobody falsely. Operations
//! in doubt are open in every later window whose revisions they may explain.

mod register;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

use self::register::{Answer, Ask, Register};
use super::{Call, Judged, Run, Violation, calls};
use crate::history::{Cas, F, Kind, Read, Revision, Version};

/// Answered operations in a window. All at once, and with two in doubt, eight take the search up to
/// a second, ten up to ten.
const WINDOW: usize = 8;

/// Operations in doubt beside them: each may come anywhere, or not at all.
const DOUBTS: usize = 2;

/// An operation as the tester takes it.
#[derive(Clone, Debug)]
struct Step {
    after: u64,
    /// `None`: in doubt.
    before: Option<u64>,
    ask: Ask,
    answer: Option<Answer>,
    at_ns: u64,
}

pub(super) fn judge(run: &Run) -> Judged {
    let calls = match calls(&run.history) {
        Ok(calls) => calls,
        Err(why) => return Judged::unclear(why),
    };
    let steps: Vec<Step> = calls.iter().filter_map(Step::of).collect();
    let (answered, doubtful): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| step.before.is_some());
    if answered.is_empty() {
        return Judged::nothing("no configuration was read or written");
    }
    let values = values(&answered);
    let (mut judged, mut too_wide) = (0_usize, 0_usize);
    let mut violations = Vec::new();
    let mut newest = None;
    for window in windows(&answered) {
        let start = newest.map_or(Register::known(run.setup.first), |revision| {
            Register::at_least(revision, None)
        });
        newest = newest.max(window.iter().filter_map(Step::newest).max());
        let open = relevant(&doubtful, window, &values);
        if window.len() > WINDOW || open.len() > DOUBTS {
            too_wide += window.len();
            continue;
        }
        judged += window.len();
        if !is_linearizable(start, window, &open) {
            let (first, last) = (&window[0], &window[window.len() - 1]);
            let what = format!(
                "no order explains the {} operations that began from {} to {}, with {} in doubt",
                window.len(),
                first.after,
                last.after,
                open.len()
            );
            violations.push(Violation::new(first.at_ns, what));
        }
    }
    let note = format!(
        "{judged} operations in windows of up to {WINDOW}, {DOUBTS} in doubt beside; {too_wide} \
         overlap too much for a search"
    );
    if judged == 0 {
        return Judged::nothing("every window is too wide for a search").noted([note]);
    }
    Judged::by(violations, &[], vec![note])
}

/// Cut where nothing answered is under way, and as long as may be.
fn windows(answered: &[Step]) -> Vec<&[Step]> {
    let mut windows = Vec::new();
    let (mut start, mut last_cut, mut busy_until) = (0, 0, 0);
    for (at, step) in answered.iter().enumerate() {
        if step.after > busy_until {
            if at - start > WINDOW && last_cut > start {
                windows.push(&answered[start..last_cut]);
                start = last_cut;
            }
            last_cut = at;
        }
        busy_until = busy_until.max(step.before.unwrap_or(0));
    }
    if answered.len() - start > WINDOW && last_cut > start {
        windows.push(&answered[start..last_cut]);
        start = last_cut;
    }
    windows.push(&answered[start..]);
    windows
}

/// Whether some order of these, begun in this state, explains every answer.
fn is_linearizable(start: Register, answered: &[Step], doubtful: &[Step]) -> bool {
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    let all: Vec<&Step> = answered.iter().chain(doubtful).collect();
    for (thread, step) in all.iter().enumerate() {
        events.push((step.after, thread, true));
        events.extend(step.before.map(|before| (before, thread, false)));
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(start);
    for (_, thread, begins) in events {
        // One operation a thread: real time alone orders them, as one process's own order is real
        // time too.
        let step = all[thread];
        let taken = match (begins, step.answer) {
            (true, _) => tester.on_invoke(thread, step.ask),
            (false, Some(answer)) => tester.on_return(thread, answer),
            (false, None) => continue,
        };
        taken.expect("each thread begins once and then ends");
    }
    tester.is_consistent()
}

/// Documents by revision, as far as anybody was told.
fn values(answered: &[Step]) -> BTreeMap<Revision, u64> {
    let told = answered.iter().filter_map(|step| match (step.ask, step.answer?) {
        (Ask::Read, Answer::Read(version)) => Some((version.revision, version.value)),
        (Ask::Write { value } | Ask::Cas { value, .. }, Answer::Made(revision)) => {
            Some((revision, value))
        }
        (Ask::Read, Answer::Made(_) | Answer::Refused(_))
        | (Ask::Write { .. } | Ask::Cas { .. }, Answer::Read(_) | Answer::Refused(_)) => None,
    });
    told.collect()
}

/// The operations in doubt that may have made a revision which the window speaks of: what nobody
/// saw never helps an explanation.
fn relevant(doubtful: &[Step], window: &[Step], values: &BTreeMap<Revision, u64>) -> Vec<Step> {
    let spoken: BTreeSet<Revision> = window.iter().flat_map(Step::revisions).collect();
    let told: BTreeSet<Option<u64>> = spoken.iter().map(|it| values.get(it).copied()).collect();
    let last = window.iter().filter_map(|step| step.before).max().unwrap_or(0);
    let begun = doubtful.iter().filter(|step| step.after < last);
    let explains = |step: &&Step| told.contains(&None) || told.contains(&step.ask.value());
    let some: Vec<Step> = begun.clone().filter(explains).cloned().collect();
    // A `cas` on what nobody was told of may follow any other.
    let follows_another = some.iter().any(|step| match step.ask {
        Ask::Cas { if_revision, .. } => !values.contains_key(&if_revision),
        Ask::Read | Ask::Write { .. } => false,
    });
    if follows_another { begun.cloned().collect() } else { some }
}

impl Step {
    /// Of an operation on the configuration in force, of which anything is known.
    fn of(call: &Call<'_>) -> Option<Step> {
        let (ask, answer) = match (call.f(), call.kind()) {
            (F::Read(Read { local: None, found: Some(found) }), Kind::Ok) => {
                (Ask::Read, Some(Answer::Read(*found)))
            }
            (F::Write(write), Kind::Ok | Kind::Info) => {
                (Ask::Write { value: write.value }, write.revision.map(Answer::Made))
            }
            (F::Cas(Cas { if_revision, value, revision }), Kind::Ok | Kind::Info) => {
                let ask = Ask::Cas { if_revision: *if_revision, value: *value };
                (ask, revision.map(Answer::Made))
            }
            (F::Cas(Cas { if_revision, value, revision: Some(found) }), Kind::Fail) => {
                let ask = Ask::Cas { if_revision: *if_revision, value: *value };
                (ask, Some(Answer::Refused(*found)))
            }
            (
                F::Read(_)
                | F::Write(_)
                | F::Cas(_)
                | F::Get(_)
                | F::Command(_)
                | F::Start(_)
                | F::Stop(_)
                | F::Voters(_),
                Kind::Ok | Kind::Fail | Kind::Info | Kind::Invoke,
            ) => return None,
        };
        // An answer in doubt is none.
        let answer = answer.filter(|_| call.kind() != Kind::Info);
        let before = answer.and(Some(call.before()));
        let at_ns = call.invoked.time_ns;
        Some(Step { after: call.after(), before, ask, answer, at_ns })
    }

    /// The revisions that it speaks of.
    fn revisions(&self) -> Vec<Revision> {
        let named = match self.ask {
            Ask::Cas { if_revision, .. } if matches!(self.answer, Some(Answer::Made(_))) => {
                Some(if_revision)
            }
            Ask::Cas { .. } | Ask::Read | Ask::Write { .. } => None,
        };
        let told = self.answer.map(|answer| match answer {
            Answer::Read(Version { revision, .. })
            | Answer::Made(revision)
            | Answer::Refused(revision) => revision,
        });
        named.into_iter().chain(told).collect()
    }

    fn newest(&self) -> Option<Revision> {
        self.revisions().into_iter().max()
    }
}

/// The whole of a short history in one window.
#[cfg(test)]
pub(super) fn is_linearizable_whole(first: Version, calls: &[Call<'_>]) -> bool {
    let steps = calls.iter().filter_map(Step::of);
    let (answered, doubtful): (Vec<Step>, Vec<Step>) =
        steps.partition(|step| step.before.is_some());
    is_linearizable(Register::known(first), &answered, &doubtful)
}
