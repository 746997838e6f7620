//! Who leads, who may say so, and how leadership moves.

use std::time::{Duration, Instant};

use leasehold_model::NodeId;
use leasehold_proto::peer::RaftMessage;
use leasehold_proto::peer::raft_client::RaftClient;
use openraft::type_config::alias::VoteOf;
use tonic::Code;

use super::cluster::{Cluster, is_done, token, within};
use crate::TypeConfig;
use crate::group::{ElectionError, LastAcknowledgedError, ProposeError};

fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_can_propose() {
    let cluster = Cluster::of(3).await;
    let mut last = 0;
    for id in 1..=3 {
        let proposed = within(cluster.group(id).propose(token(id))).await.unwrap();
        assert!(is_done(&proposed.outcome));
        last = proposed.index;
    }
    cluster.applied(last).await;
    let states: Vec<_> = (1..=3).map(|id| cluster.group(id).state().borrow().clone()).collect();
    assert_eq!(states[0].tokens.len(), 3);
    assert_eq!(states[0], states[1]);
    assert_eq!(states[0], states[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_within_the_detection_time() {
    let mut cluster = Cluster::of(3).await;
    cluster.kill(1);
    let start = Instant::now();
    let next = cluster.led_by_another(1).await;
    // Twice the longest election timeout, and what two rounds of votes take on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    let proposed = within(cluster.group(next.0).propose(token(1))).await.unwrap();
    cluster.applied(proposed.index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_takes_its_place_again() {
    let mut cluster = Cluster::of(3).await;
    let disk = cluster.kill(1);
    let next = cluster.led_by_another(1).await;
    within(cluster.group(next.0).propose(token(1))).await.unwrap();
    cluster.start(1, disk).await;
    // It is still known by its old address; the others cannot reach it, but it can vote for
    // nobody and answers for itself.
    assert!(!cluster.group(1).leadership().borrow().is_leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_proves_that_it_leads() {
    let cluster = Cluster::of(3).await;
    within(cluster.group(1).confirm()).await.unwrap();
    let refusal = within(cluster.group(2).confirm()).await.unwrap_err();
    assert_eq!(refusal.leader, Some(NodeId(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_proofs_at_once_are_all_given() {
    let cluster = Cluster::of(3).await;
    let group = cluster.group(1);
    let proofs = (0..500).map(|_| group.confirm());
    for proof in within(futures::future::join_all(proofs)).await {
        proof.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_leader_proves_nothing_and_others_go_on() {
    let cluster = Cluster::of(3).await;
    within(cluster.group(1).confirm()).await.unwrap();
    cluster.wires.isolate(NodeId(1), nodes([2, 3]));
    within(cluster.group(1).confirm()).await.unwrap_err();
    let next = cluster.led_by_another(1).await;
    within(cluster.group(next.0).confirm()).await.unwrap();
    within(cluster.group(1).confirm()).await.unwrap_err();
    let proposed = within(cluster.group(next.0).propose(token(1))).await.unwrap();
    cluster.wires.heal();
    cluster.applied(proposed.index).await;
    assert!(!cluster.group(1).leadership().borrow().is_leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_without_a_quorum_has_an_unknown_outcome() {
    let cluster = Cluster::of(3).await;
    cluster.wires.isolate(NodeId(1), nodes([2, 3]));
    let error = within(cluster.group(1).propose_local(token(1))).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unknown(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_for_election_leads_at_once() {
    let mut cluster = Cluster::of(3).await;
    let proposed = within(cluster.group(1).propose(token(1))).await.unwrap();
    cluster.applied(proposed.index).await;
    cluster.kill(1);
    let start = Instant::now();
    within(cluster.group(2).stand_for_election()).await.unwrap();
    let took = start.elapsed();
    assert!(cluster.group(2).leadership().borrow().is_leader);
    // No follower's timeout passed: those are 400 ms and more.
    assert!(took < Duration::from_millis(400), "took {took:?}");
    within(cluster.group(3).propose(token(2))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::of(3).await;
    let start = Instant::now();
    within(cluster.group(1).transfer_leadership(NodeId(3))).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(400), "took {:?}", start.elapsed());
    assert_eq!(cluster.group(1).leadership().borrow().leader, Some(NodeId(3)));
    within(cluster.group(1).confirm()).await.unwrap_err();
    within(cluster.group(3).confirm()).await.unwrap();
    let refused = cluster.group(1).transfer_leadership(NodeId(2)).await.unwrap_err();
    assert_eq!(refused, ElectionError::NotLeader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_a_stalled_disk_gives_up() {
    let cluster = Cluster::of(3).await;
    within(cluster.group(1).confirm()).await.unwrap();
    cluster.nodes[&NodeId(1)].disk.stall(true);
    let group = cluster.group(1).clone();
    let proposal = tokio::spawn(async move { group.propose_local(token(1)).await });
    let next = cluster.led_by_another(1).await;
    within(cluster.group(1).confirm()).await.unwrap_err();
    within(cluster.group(next.0).confirm()).await.unwrap();
    cluster.nodes[&NodeId(1)].disk.stall(false);
    // Whatever it heard, the group goes on.
    let _ = within(proposal).await.unwrap();
    let proposed = within(cluster.group(next.0).propose(token(2))).await.unwrap();
    cluster.applied(proposed.index).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_another_node_is_refused() {
    let cluster = Cluster::of(1).await;
    let address = &cluster.nodes[&NodeId(1)].peer.address;
    let mut client = RaftClient::connect(format!("http://{address}")).await.unwrap();
    let status = client.vote(RaftMessage { to: 7, payload: Vec::new() }).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let status = client.vote(RaftMessage { to: 1, payload: Vec::new() }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_tells_of_older_leaders_only_and_only_once_it_cannot_follow_them() {
    let cluster = Cluster::of(3).await;
    within(cluster.group(1).confirm()).await.unwrap();
    let term = cluster.group(1).leadership().borrow().term;
    let vote =
        |term, node| serde_json::to_vec(&VoteOf::<TypeConfig>::new_committed(term, node)).unwrap();
    // A leader of the future: this voter might still acknowledge the present one.
    let early = cluster.group(2).last_acknowledged(&vote(term + 1, 3)).unwrap_err();
    assert_eq!(early, LastAcknowledgedError::NotYet { asked: term + 1 });
    // The present leader hears of leaders before it: there were none, so of the start.
    let old = cluster.group(2).last_acknowledged(&vote(term, 1)).unwrap();
    within(cluster.group(1).confirm()).await.unwrap();
    assert!(cluster.group(2).last_acknowledged(&vote(term, 1)).unwrap() >= old);

    let before = Instant::now();
    within(cluster.group(1).confirm()).await.unwrap();
    within(cluster.group(1).transfer_leadership(NodeId(3))).await.unwrap();
    // Others may hear of it before the task that tells this node itself has run.
    within(cluster.group(3).leadership().wait_for(|one| one.is_leader)).await.unwrap();
    let asked = within(cluster.group(3).ask_last_acknowledged()).await.unwrap();
    assert!(asked.is_enough());
    assert!(asked.answers.len() >= 2);
    // Any quorum of answers holds one at least from after the last proof's beginning.
    let latest = asked.answers.iter().map(|one| one.ago).min().unwrap();
    assert!(latest <= before.elapsed());
    assert!(cluster.group(2).last_acknowledged(b"nonsense").is_err());
}
