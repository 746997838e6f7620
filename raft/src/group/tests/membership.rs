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
