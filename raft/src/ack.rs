//! When this node last acknowledged each leader.
//!
//! A leader's approval of a renewal rests on acknowledgements that a quorum gave it after the
//! renewal arrived. So whoever knows when the voters last acknowledged an older leader knows how
//! long that leader's approvals can still count. Soundness rests on one order of events: an
//! acknowledgement is on record *before* consensus may accept the message, so no answer given
//! after this node's vote moved on can miss one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_model::BootNanos;

/// Terms kept one by one; older ones are folded together.
const TERMS_KEPT: usize = 4;

/// The record of acknowledgements.
#[derive(Debug)]
pub(crate) struct Acks {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The latest of whatever is not in `terms`. What was acknowledged before the process
    /// started is unknown, so its start counts as an acknowledgement.
    floor: BootNanos,
    /// The latest acknowledgement of the leader of each term.
    terms: BTreeMap<u64, BootNanos>,
    /// Messages handed to consensus and not answered yet: they may be accepted already.
    pending: BTreeMap<u64, (u64, BootNanos)>,
    next: u64,
}

impl Acks {
    pub(crate) fn new(started: BootNanos) -> Arc<Self> {
        let inner =
            Inner { floor: started, terms: BTreeMap::new(), pending: BTreeMap::new(), next: 0 };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// A message of the leader of `term` arrived at `at` and is about to be handed to consensus.
    pub(crate) fn begin(self: &Arc<Self>, term: u64, at: BootNanos) -> PendingAck {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner.pending.insert(id, (term, at));
        drop(inner);
        PendingAck { acks: Arc::clone(self), id }
    }

    /// The latest acknowledgement of any leader of a term before `term`.
    pub(crate) fn latest_before(&self, term: u64) -> BootNanos {
        let inner = self.lock();
        let known = inner.terms.range(..term).map(|(_, at)| *at);
        let pending = inner.pending.values().filter(|(of, _)| *of < term).map(|(_, at)| *at);
        known.chain(pending).fold(inner.floor, BootNanos::max)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every critical section leaves the maps whole, also where it panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: u64, acknowledged: bool) {
        let mut inner = self.lock();
        let Some((term, at)) = inner.pending.remove(&id) else { return };
        if !acknowledged {
            return;
        }
        let latest = inner.terms.entry(term).or_insert(at);
        *latest = (*latest).max(at);
        while inner.terms.len() > TERMS_KEPT {
            if let Some((_, at)) = inner.terms.pop_first() {
                inner.floor = inner.floor.max(at);
            }
        }
    }
}

/// One message between its arrival and its answer. Where the answer stays unknown (the call was
/// cancelled), it counts as acknowledged.
#[derive(Debug)]
pub(crate) struct PendingAck {
    acks: Arc<Acks>,
    id: u64,
}

impl PendingAck {
    /// Consensus turned the message down: its sender learned nothing that it could rest on.
    pub(crate) fn refused(self) {
        self.acks.end(self.id, false);
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        self.acks.end(self.id, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootNanos = BootNanos(100);

    #[test]
    fn a_start_counts_as_an_acknowledgement() {
        assert_eq!(Acks::new(START).latest_before(7), START);
    }

    #[test]
    fn only_older_leaders_count() {
        let acks = Acks::new(START);
        drop(acks.begin(3, BootNanos(200)));
        drop(acks.begin(4, BootNanos(300)));
        assert_eq!(acks.latest_before(3), START);
        assert_eq!(acks.latest_before(4), BootNanos(200));
        assert_eq!(acks.latest_before(5), BootNanos(300));
    }

    #[test]
    fn a_message_under_way_counts_and_a_refused_one_does_not() {
        let acks = Acks::new(START);
        let pending = acks.begin(3, BootNanos(200));
        assert_eq!(acks.latest_before(4), BootNanos(200));
        pending.refused();
        assert_eq!(acks.latest_before(4), START);
    }

    #[test]
    fn acknowledgements_that_end_out_of_order_keep_the_latest() {
        let acks = Acks::new(START);
        let first = acks.begin(3, BootNanos(200));
        let second = acks.begin(3, BootNanos(250));
        drop(second);
        drop(first);
        assert_eq!(acks.latest_before(4), BootNanos(250));
    }

    #[test]
    fn folding_old_terms_forgets_no_instant() {
        let acks = Acks::new(START);
        drop(acks.begin(1, BootNanos(900)));
        for term in 2..20 {
            drop(acks.begin(term, BootNanos(200 + term)));
        }
        assert_eq!(acks.latest_before(20), BootNanos(900));
    }
}
