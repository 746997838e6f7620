//! Who should hold what: a small stand-in for placement, with its hard cases of pins and drains.

use std::collections::BTreeSet;

use leasehold_model::{GroupId, NodeId, Role};
use leasehold_raft::state::State;

/// The director that `group` should be on, of those that are heard.
pub(super) fn place(state: &State, heard: &BTreeSet<NodeId>, group: GroupId) -> Option<NodeId> {
    let fit: Vec<NodeId> = state
        .members
        .iter()
        .filter(|(node, one)| heard.contains(node) && one.role == Role::Director && !one.drained)
        .map(|(node, _)| *node)
        .collect();
    let pinned = state.pins.get(&group).filter(|node| fit.contains(node));
    // Spread by the group's number, whoever is there.
    let turn = usize::try_from(group.0).unwrap_or(0) % fit.len().max(1);
    pinned.or_else(|| fit.get(turn)).copied()
}

/// Whether the holder is to hand `group` over, and to whom.
pub(super) fn better(
    state: &State,
    heard: &BTreeSet<NodeId>,
    group: GroupId,
    holder: NodeId,
) -> Option<NodeId> {
    let drained = state.members.get(&holder).is_none_or(|one| one.drained);
    let pinned = state.pins.get(&group).is_some_and(|node| *node != holder);
    let to = place(state, heard, group).filter(|to| *to != holder)?;
    (drained || (pinned && state.pins.get(&group) == Some(&to))).then_some(to)
}
