//! What a process said it had been promised, and whether a store keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use leasehold_raft::store::open;
use openraft::storage::{RaftLogReader, RaftLogStorage};

use crate::writer::entry;

/// What must be there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Promises {
    /// The term of each acknowledged entry.
    pub(crate) terms: BTreeMap<u64, u64>,
    vote: u64,
    /// The last entry that may have been purged.
    purged: Option<u64>,
}

impl Promises {
    /// Takes in what was said. A line cut off by the kill promises nothing.
    pub(crate) fn hear(&mut self, said: &str) {
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let mut words = line.split(' ');
            let verb = words.next().unwrap_or_default();
            let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
            match (verb, numbers.as_slice()) {
                ("ack", [from, to, term]) => {
                    self.terms.extend((*from..=*to).map(|index| (index, *term)));
                }
                ("vote", [term]) => self.vote = *term,
                // From here on the rest may be gone, and is when it succeeds.
                ("cut", [last]) => drop(self.terms.split_off(&(last + 1))),
                ("purge", [upto]) => self.purged = Some(*upto),
                // The test harness talks on stdout too.
                (_, _) => {}
            }
        }
    }

    /// Says what is missing or wrong.
    pub(crate) async fn check(&self, dir: &Path) -> Result<(), String> {
        let mut opened = open(dir).map_err(|error| error.to_string())?;
        let state = opened.log.get_log_state().await.unwrap();
        let mut reader = opened.log.get_log_reader().await;
        let vote = reader.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id.term);
        if vote < self.vote {
            return Err(format!("the vote of term {} is back at {vote}", self.vote));
        }
        let purged = state.last_purged_log_id.map(|id| id.index);
        if purged > self.purged {
            return Err(format!("purged up to {purged:?}, and asked up to {:?}", self.purged));
        }
        let entries = reader.try_get_log_entries(..).await.map_err(|error| error.to_string())?;
        let first = purged.map_or(0, |purged| purged + 1);
        for (expected, found) in (first..).zip(&entries) {
            let id = found.log_id;
            if id.index != expected || *found != entry(id.leader_id.term, expected) {
                return Err(format!("entry {expected} is not what was written: {id:?}"));
            }
        }
        let found: BTreeMap<u64, u64> =
            entries.iter().map(|entry| (entry.log_id.index, entry.log_id.leader_id.term)).collect();
        for (index, term) in self.terms.range(first..) {
            if found.get(index) != Some(term) {
                let there = found.get(index);
                return Err(format!("entry {index} of term {term} is lost: {there:?} is there"));
            }
        }
        Ok(())
    }
}
