//! Raft's own membership follows the replicated state: whoever was admitted becomes a learner,
//! and a voter once it has caught up; whoever was removed goes.
//!
//! Driven by the difference of the two, by the leader of the moment: a change that was interrupted
//! is taken up by the next one.

use crate::Group;
use std::time::Duration;

use leasehold_dataplane::fence::boot_now;
use leasehold_model::NodeId;
use leasehold_raft::group::{Members, MembershipError};
use leasehold_raft::lease::Timing;
use leasehold_raft::state::State;

use crate::api::admission::peer;

const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long after its election a leader leaves the members alone: it asks the voters that elected
/// it when they last acknowledged another, and must not have changed who they are by then.
pub(crate) fn settled(timing: &Timing) -> Duration {
    timing.ttl * 2
}

enum Step {
    /// A change that was interrupted needs majorities of both its sets until it is finished.
    Settle,
    Learn(NodeId),
    Promote(NodeId),
    Demote(NodeId),
    Remove(NodeId),
}

pub(crate) async fn follow(group: Group, timing: Timing) {
    let settled = settled(&timing);
    let mut state = group.state();
    let mut leadership = group.leadership();
    loop {
        let step = {
            let now = leadership.borrow_and_update().clone();
            let state = state.borrow_and_update();
            if now.is_leader && boot_now().since(now.since) > settled {
                next_step(&group, &state)
            } else {
                None
            }
        };
        let taken = match step {
            Some(step) => take(&group, step).await,
            None => false,
        };
        if taken {
            continue;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            // A learner catches up without an event of ours.
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// One at a time: joint consensus allows no second change under way.
fn next_step(group: &Group, state: &State) -> Option<Step> {
    let Members { voters, learners, voter_sets } = group.members();
    if state.members.is_empty() {
        return None;
    }
    if voter_sets.len() > 1 {
        return Some(Step::Settle);
    }
    let gone = voters.keys().chain(learners.keys()).find(|id| !state.members.contains_key(id));
    if let Some(id) = gone {
        return Some(Step::Remove(*id));
    }
    state.members.iter().find_map(|(id, member)| {
        match (member.votes, voters.contains_key(id), learners.contains_key(id)) {
            (_, false, false) => Some(Step::Learn(*id)),
            (true, false, true) => Some(Step::Promote(*id)),
            (false, true, _) => Some(Step::Demote(*id)),
            (true, true, _) | (false, false, true) => None,
        }
    })
}

/// True where the step was taken.
async fn take(group: &Group, step: Step) -> bool {
    let state = group.state().borrow().clone();
    let me = group.node();
    let (what, id, result) = match step {
        Step::Settle => ("out of a change that was half done", me, group.settle_members().await),
        Step::Learn(id) => {
            let Some(member) = state.members.get(&id) else { return true };
            ("to learn the log", id, group.add_learner(id, peer(member)).await)
        }
        Step::Promote(id) => ("to vote", id, group.promote(id).await),
        Step::Demote(id) => ("to vote no longer", id, group.demote(id).await),
        Step::Remove(id) => ("to leave", id, group.remove(id).await),
    };
    match result {
        Ok(()) => {
            tracing::info!(node = %id, "was brought {what}");
            true
        }
        // Another has to take this node's vote away.
        Err(MembershipError::Leads(_)) => {
            if let Some(to) = group.successor()
                && let Err(error) = group.transfer_leadership(to).await
            {
                tracing::warn!(%error, "leadership stays here, and so does the vote");
            }
            false
        }
        Err(error) => {
            tracing::warn!(node = %id, %error, "could not be brought {what} yet");
            false
        }
    }
}
