//! From learner to voter and out again.

use leasehold_model::NodeId;

use super::cluster::{Cluster, token, within};
use crate::group::MembershipError;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_learns_votes_and_leaves() {
    let mut cluster = Cluster::of(3).await;
    cluster.join(4).await;
    let members = cluster.group(1).members();
    assert!(members.learners.contains_key(&NodeId(4)));
    within(cluster.group(1).promote(NodeId(4))).await.unwrap();
    let members = cluster.group(1).members();
    assert_eq!(members.voters.len(), 4);
    assert_eq!(members.voter_sets.len(), 1);
    within(cluster.group(1).demote(NodeId(4))).await.unwrap();
    assert!(cluster.group(1).members().learners.contains_key(&NodeId(4)));
    within(cluster.group(1).remove(NodeId(4))).await.unwrap();
    let members = cluster.group(1).members();
    assert!(members.learners.is_empty());
    assert_eq!(members.voters.len(), 3);
    within(cluster.group(1).propose(token(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_changes_members_and_never_takes_itself_out() {
    let cluster = Cluster::of(3).await;
    let refused = within(cluster.group(2).demote(NodeId(3))).await.unwrap_err();
    assert_eq!(refused, MembershipError::NotLeader { leader: Some(NodeId(1)) });
    let refused = within(cluster.group(1).remove(NodeId(1))).await.unwrap_err();
    assert_eq!(refused, MembershipError::Leads(NodeId(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_a_snapshot_of_what_the_log_no_longer_holds() {
    let mut cluster = Cluster::of(1).await;
    let mut last = 0;
    for batch in 0..50 {
        let some = (0..100).map(|one| cluster.group(1).propose(token(batch * 100 + one)));
        for proposed in within(futures::future::join_all(some)).await {
            last = last.max(proposed.unwrap().index);
        }
    }
    cluster.join(2).await;
    cluster.applied(last).await;
    assert_eq!(cluster.group(2).state().borrow().tokens.len(), 5000);
    assert!(cluster.nodes[&NodeId(2)].disk.has_snapshot());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_interrupted_can_be_finished() {
    let mut cluster = Cluster::of(3).await;
    cluster.join(4).await;
    // The first of the change's two entries is appended, and nobody waits for it any more.
    let alone =
        |id| cluster.wires.isolate(NodeId(id), (1..=4).filter(|one| *one != id).map(NodeId));
    alone(2);
    alone(3);
    let group = cluster.group(1).clone();
    let promoting = tokio::spawn(async move { group.promote(NodeId(4)).await });
    within(async {
        while cluster.group(1).members().voter_sets.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    promoting.abort();
    // Node 3 stays away: without node 1's longer log nobody else could be elected.
    cluster.wires.heal();
    alone(3);
    within(async {
        loop {
            let leader = cluster.group(cluster.led_by_another(0).await.0);
            assert_eq!(leader.members().voter_sets.len(), 2, "nobody went on");
            if leader.settle_members().await.is_ok() {
                let members = leader.members();
                assert_eq!((members.voter_sets.len(), members.voters.len()), (1, 4));
                return;
            }
        }
    })
    .await;
}
