//! Who made each revision: exactly one write, which must have begun before anybody knew of it.
//!
//! A revision that no answered write claims was made by one in doubt. Which one is a matching:
//! each makes at most one revision, with its own document, and a `cas` only right after the
//! revision that it names. Any choice does, since a maker's end is open. A `cas` in doubt on a
//! revision that nobody was told of may follow another write in doubt: that is let pass, since a
//! client that names what nobody was told of has guessed.

use std::collections::BTreeMap;

use super::{Call, Known, Order, Part, describe};
use crate::history::{F, Revision};

/// A write that may have made a revision, whenever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubtful<'a> {
    call: Call<'a>,
    value: u64,
    /// Of a `cas`: right after this revision only.
    after: Option<Revision>,
}

/// A revision without a maker.
struct Orphan<'a> {
    revision: Revision,
    value: Option<u64>,
    previous: Option<Revision>,
    /// Who proves that it was in force, and by when.
    proof: Call<'a>,
}

impl<'a> Doubtful<'a> {
    pub(super) fn of(call: Call<'a>) -> Option<Doubtful<'a>> {
        match call.f() {
            F::Write(write) => Some(Doubtful { call, value: write.value, after: None }),
            F::Cas(cas) => Some(Doubtful { call, value: cas.value, after: Some(cas.if_revision) }),
            F::Read(_) | F::Get(_) | F::Command(_) | F::Start(_) | F::Stop(_) | F::Voters(_) => {
                None
            }
        }
    }

    fn can_make(&self, orphan: &Orphan<'_>, known: &BTreeMap<Revision, Known<'_>>) -> bool {
        let in_turn = self.after.is_none_or(|after| {
            if known.contains_key(&after) {
                orphan.previous == Some(after)
            } else {
                orphan.previous.is_none_or(|it| it < after) && after < orphan.revision
            }
        });
        in_turn
            && orphan.value.is_none_or(|value| value == self.value)
            && self.call.after() < orphan.proof.before()
    }
}

/// Accuses revisions with two makers, and those with none.
pub(super) fn choose<'a>(
    order: &Order<'a>,
    latest: &BTreeMap<Revision, (Call<'a>, Revision)>,
) -> Vec<(Call<'a>, String)> {
    let mut accused = Vec::new();
    let mut orphans: Vec<Orphan<'a>> = Vec::new();
    let mut previous = None;
    for (revision, known) in &order.known {
        let before = previous.replace(*revision);
        if *revision == order.first.revision {
            continue;
        }
        if *revision < order.first.revision {
            // A member that has just joined, or started, may know nothing yet.
            let others = known.said.iter().filter(|(part, _)| *part != Part::SawLocally);
            let older = others.map(|(_, call)| {
                (*call, format!("has revision {revision}, older than that at the beginning"))
            });
            accused.extend(older);
            continue;
        }
        let Some((proof, _)) = latest.get(revision) else { continue };
        let by = |wanted: Part| known.said.iter().filter(move |(part, _)| *part == wanted);
        let made: Vec<&Call<'a>> = by(Part::Made).map(|(_, call)| call).collect();
        if let [one, other, ..] = made.as_slice() {
            let what = format!("made revision {revision}, which {} made too", describe(one));
            accused.push((**other, what));
        }
        if let Some(maker) = made.first() {
            if maker.after() > proof.before() {
                let what = format!(
                    "made revision {revision}, of which {} had known before",
                    describe(proof)
                );
                accused.push((**maker, what));
            }
            continue;
        }
        // Of several that applied the same document the earliest binds least; the others found it.
        let applied = by(Part::Applied).map(|(_, call)| call).min_by_key(|call| call.after());
        if applied.is_some_and(|call| call.after() < proof.before()) {
            continue;
        }
        let value = known.value.map(|(value, _)| value);
        orphans.push(Orphan { revision: *revision, value, previous: before, proof: *proof });
    }
    for nth in unmatched(&orphans, order) {
        let Orphan { revision, proof, .. } = orphans[nth];
        let what = format!("proves revision {revision}, which no write can have made by then");
        accused.push((proof, what));
    }
    accused
}

/// The orphans that are left when as many as can be have a maker of their own: augmenting paths.
fn unmatched(orphans: &[Orphan<'_>], order: &Order<'_>) -> Vec<usize> {
    let mut child_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut left = Vec::new();
    for nth in 0..orphans.len() {
        // By maker: from which orphan it was reached.
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let mut waiting = vec![nth];
        let mut free = None;
        while let (Some(orphan), None) = (waiting.pop(), free) {
            for (maker, one) in order.doubtful.iter().enumerate() {
                if reached.contains_key(&maker) || !one.can_make(&orphans[orphan], &order.known) {
                    continue;
                }
                reached.insert(maker, orphan);
                match child_of.get(&maker) {
                    Some(child) => waiting.push(*child),
                    None => free = Some(maker),
                }
            }
        }
        let Some(mut maker) = free else {
            left.push(nth);
            continue;
        };
        // Hand makers on, back to the orphan that has none.
        loop {
            let orphan = reached[&maker];
            let own = child_of.iter().find(|(_, child)| **child == orphan).map(|(own, _)| *own);
            child_of.insert(maker, orphan);
            match own.filter(|own| *own != maker) {
                Some(own) if orphan != nth => maker = own,
                Some(_) | None => break,
            }
        }
    }
    left
}
