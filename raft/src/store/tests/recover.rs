//! One member's store becomes that of a new cluster.

use std::collections::BTreeMap;

use leasehold_raft_core::model::NodeId;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};

use super::*;
use crate::store::{last_state, survey, transplant};
use crate::{Peer, Vote};

#[test]
fn a_survey_applies_the_snapshot_and_every_entry_after_it() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        let entry = |index| if index == 0 { blank(1, 0) } else { long(1, index, 20) };
        snapshot(&mut opened, (0..3).map(entry)).await;
        append(&mut opened, (0..6).map(entry)).await;
        opened.log.save_committed(Some(id(1, 4))).await.unwrap();
        opened.log.purge(id(1, 1)).await.unwrap();
        drop(opened);

        let survey = survey(dir).await.unwrap();
        assert_eq!((survey.last, survey.committed), (id(1, 5), 4));
        assert_eq!(survey.state.applied, 5);
        assert_eq!(survey.state.tokens.len(), 5, "each entry made one");
    });
}

#[test]
fn a_member_that_no_leader_reached_has_an_empty_state_and_nothing_to_recover() {
    in_a_directory(async |dir| {
        drop(open(dir).unwrap());
        assert_eq!(last_state(dir).await.unwrap(), state::State::default());
        let refused = survey(dir).await.unwrap_err().to_string();
        assert!(refused.contains("no entry at all"), "{refused}");
    });
}

#[test]
fn a_transplanted_store_goes_on_after_its_state() {
    in_a_directory(async |dir| {
        let state = state::State { applied: 41, cluster: "new".to_owned(), ..Default::default() };
        let peer = Peer { name: "ds1".to_owned(), address: "ds1:7400".to_owned() };
        let at = (NodeId(1), peer.clone());
        transplant(dir, at, id(7, 12), state.clone()).unwrap();

        let mut opened = open(dir).unwrap();
        assert_eq!(**opened.state.borrow(), state);
        let log = opened.log.get_log_state().await.unwrap();
        assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(id(7, 41)), Some(id(7, 41))));
        let vote = opened.log.get_log_reader().await.read_vote().await.unwrap();
        assert_eq!(vote, Some(Vote::new(7, 1)), "the next term is later than any entry's");
        let (applied, membership) = opened.state_machine.applied_state().await.unwrap();
        assert_eq!(applied, Some(id(7, 41)));
        let nodes: BTreeMap<_, _> =
            membership.nodes().map(|(id, one)| (*id, one.clone())).collect();
        assert_eq!(nodes, BTreeMap::from([(1, peer)]));
        assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [1]);
        append(&mut opened, [blank(8, 42)]).await;
    });
}
