//! What a new leader infers, and what it must not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_model::NodeId;

use super::super::{Acknowledgements, LastAcknowledged, takeover};
use super::{A, B, C, at, timing};

fn answers(of: &[(NodeId, u64, u64)]) -> BTreeMap<NodeId, LastAcknowledged> {
    let one = |ago, received| LastAcknowledged {
        ago: Duration::from_millis(ago),
        received_at: at(received),
    };
    of.iter().map(|(node, ago, received)| (*node, one(*ago, *received))).collect()
}

fn set(of: &[NodeId]) -> BTreeSet<NodeId> {
    of.iter().copied().collect()
}

#[test]
fn nothing_follows_from_less_than_a_majority() {
    let all = [set(&[A, B, C])];
    assert_eq!(takeover(&timing(), &all, &answers(&[(A, 0, 9000)])), None);
    assert_eq!(takeover(&timing(), &[], &answers(&[(A, 0, 9000)])), None);
    let even = [set(&[A, B])];
    assert_eq!(takeover(&timing(), &even, &answers(&[(A, 0, 9000)])), None);
}

#[test]
fn the_latest_of_the_answers_counts_and_voters_only() {
    let all = [set(&[A, B, C])];
    let learner = NodeId(9);
    let heard = answers(&[(A, 2020, 9000), (B, 4040, 9100), (learner, 0, 9200)]);
    assert_eq!(takeover(&timing(), &all, &heard), Some(at(7000)));
}

#[test]
fn while_membership_changes_both_voter_sets_must_answer() {
    let (d, e) = (NodeId(4), NodeId(5));
    let joint = [set(&[A, B, C]), set(&[C, d, e])];
    let old_only = answers(&[(A, 0, 9000), (B, 0, 9000)]);
    assert_eq!(takeover(&timing(), &joint, &old_only), None);
    let both = answers(&[(A, 0, 9000), (C, 0, 9000), (d, 0, 9000)]);
    assert!(takeover(&timing(), &joint, &both).is_some());
}

#[test]
fn a_voter_whose_clock_runs_fast_does_not_shorten_the_wait() {
    // It says 1010 ms; by a clock that is 1 % slower only 1000 ms went by.
    let heard = answers(&[(A, 1010, 9000)]);
    assert_eq!(takeover(&timing(), &[set(&[A])], &heard), Some(at(8000)));
}

#[test]
fn a_start_counts_as_an_acknowledgement() {
    let acks = Acknowledgements::new(at(1000));
    assert_eq!(acks.ago(&7, at(1500)), Duration::from_millis(500));
}

#[test]
fn only_leaders_before_the_one_that_asks_count() {
    let mut acks = Acknowledgements::new(at(0));
    acks.handle_acknowledged(&5, at(100));
    acks.handle_acknowledged(&7, at(200));
    acks.handle_acknowledged(&7, at(300));
    let ms = Duration::from_millis;
    assert_eq!(acks.ago(&7, at(400)), ms(300));
    assert_eq!(acks.ago(&8, at(400)), ms(100));
    // Raft doesn't acknowledge an older leader after a newer one. Were it to, it would count.
    acks.handle_acknowledged(&5, at(350));
    assert_eq!(acks.ago(&7, at(400)), ms(50));
}
