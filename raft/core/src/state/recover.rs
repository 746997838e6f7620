//! What a new cluster takes over from a lost one.

use std::collections::BTreeMap;

use leasehold_model::{Epoch, NodeId};

use super::{Lease, State};

impl State {
    /// The state that `survivor` starts the cluster `cluster` with, as its node 1 and only member.
    ///
    /// The configuration and its revision stay. Nobody holds anything: whoever did is gone for
    /// good, says the operator. Epochs go on from here, so that a fencing token of the lost
    /// cluster is older than any of the new one's. Tokens go: they name the lost cluster's CA.
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
        let epoch = Epoch(self.applied);
        for lease in self.leases.values_mut() {
            *lease = Lease { since_unix_ms: lease.since_unix_ms, epoch, ..Lease::default() };
        }
        self.retiring.clear();
        self.pins.clear();
        self.tokens.clear();
        Some(self)
    }
}
