//! What a new cluster takes over from a lost one.

use std::collections::BTreeMap;

use leasehold_model::{Epoch, NodeId};

use super::{Lease, State};

/// How many entries the lost cluster may have written that its survivor never heard of. Epochs
/// are indices of entries, so the new cluster's begin so much later. 2^32 is fifty days of a
/// thousand entries a second, which no cluster writes; 2^64 bears four thousand million recoveries.
pub const RECOVERY_GAP: u64 = 1 << 32;

/// A holder that was lost. No node ever has this number.
pub(super) const LOST: NodeId = NodeId(0);

impl State {
    /// The state that `survivor` starts the cluster `cluster` with, as its node 1 and only member.
    ///
    /// The configuration and its revision stay. Everything is held by nobody that can be named:
    /// whoever held it is gone for good, says the operator, and its kernel answers until the
    /// lease has run out, which the first leader waits for. Indices, and with them epochs, go on [`RECOVERY_GAP`] after the
    /// last one here: a fencing token of the lost cluster, also one that the lost majority granted
    /// without this member, is older than any of the new one's. Tokens go: they name the lost
    /// cluster's CA.
    ///
    /// None, where `survivor` is no member.
    #[must_use]
    pub fn recovered(mut self, survivor: NodeId, cluster: &str) -> Option<Self> {
        let mut member = self.members.remove(&survivor)?;
        member.drained = false;
        member.votes = true;
        member.incarnation = 0;
        self.members = BTreeMap::from([(NodeId(1), member)]);
        cluster.clone_into(&mut self.cluster);
        self.applied = self.applied.saturating_add(RECOVERY_GAP);
        let epoch = Epoch(self.applied);
        for lease in self.leases.values_mut() {
            let (since_unix_ms, holder) = (lease.since_unix_ms, Some(LOST));
            *lease = Lease { since_unix_ms, epoch, holder, ..Lease::default() };
        }
        self.retiring.clear();
        self.pins.clear();
        self.tokens.clear();
        Some(self)
    }
}
