//! What each member last said of itself. In the leader's memory only.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{BootNanos, Eligibility, NodeId};

#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) eligibility: Eligibility,
    /// The state's index that the member's fence and addresses reflect.
    pub(crate) programmed: u64,
    pub(crate) heard: BootNanos,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(BTreeMap<NodeId, Report>);

impl Reports {
    /// Takes a report in; true where it says something new.
    pub(super) fn heard(
        &mut self,
        node: NodeId,
        programmed: u64,
        eligibility: Eligibility,
        now: BootNanos,
    ) -> bool {
        match self.0.get_mut(&node) {
            Some(known) if known.eligibility == eligibility => {
                known.programmed = known.programmed.max(programmed);
                known.heard = now;
                false
            }
            Some(_) | None => {
                let report = Report { eligibility, programmed, heard: now };
                self.0.insert(node, report);
                true
            }
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    /// Forgets whoever was silent for `limit`; true where somebody was.
    pub(super) fn expire(&mut self, limit: Duration, now: BootNanos) -> bool {
        let before = self.0.len();
        self.0.retain(|_, report| now.since(report.heard) <= limit);
        self.0.len() != before
    }

    /// The leader slept: that nobody was heard meanwhile says nothing about them.
    pub(super) fn handle_stall(&mut self, now: BootNanos) {
        for report in self.0.values_mut() {
            report.heard = now;
        }
    }

    /// How far each member's kernel follows the log.
    pub(super) fn programmed(&self) -> BTreeMap<NodeId, u64> {
        self.0.iter().map(|(node, report)| (*node, report.programmed)).collect()
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Report> {
        self.0.get(&node)
    }

    pub(super) fn is_heard(&self, node: NodeId) -> bool {
        self.0.get(&node).is_some_and(|report| !report.eligibility.stopping)
    }
}
