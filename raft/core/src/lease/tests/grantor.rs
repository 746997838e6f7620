//! What a leader approves, and when it calls a lease over.

use std::collections::BTreeMap;

use leasehold_model::{Epoch, GroupId, NodeId, Role};

use super::super::{Grantor, GrantorCommand, GrantorWake};
use super::{A, B, G, at, lease, timing};
use crate::state::{Cause, Lease, Member, Retiring, State};
use GrantorCommand::{Answer, Confirm, Refuse};

fn drain(grantor: &mut Grantor) -> Vec<GrantorCommand> {
    std::iter::from_fn(|| grantor.poll_command()).collect()
}

fn held(holder: NodeId, epoch: u64) -> State {
    let mut state = State::default();
    for node in [A, B] {
        let member = Member {
            name: node.to_string(),
            address: String::new(),
            role: Role::Director,
            drained: false,
            votes: true,
            incarnation: 0,
        };
        state.members.insert(node, member);
    }
    let lease = Lease { holder: Some(holder), epoch: Epoch(epoch), ..Lease::default() };
    state.leases.insert(G, Lease { cause: Cause::Created, ..lease });
    state
}

/// Leads since 10 s. What earlier leaders approved is over at 11 030 ms.
fn leading() -> Grantor {
    let mut grantor = Grantor::new(timing());
    grantor.handle_elected(3, at(10_000));
    grantor
}

/// Takes A's renewal through a round; the answer's instant is `ms`.
fn approve(grantor: &mut Grantor, ms: u64) {
    grantor.handle_renew(ms, A, vec![lease(7)], at(ms));
    let Some(Confirm { round }) = grantor.poll_command() else { panic!("no round") };
    grantor.handle_confirm_result(round, true, &held(A, 7), at(ms));
    assert_eq!(drain(grantor), [Answer { request: ms, good: vec![lease(7)] }]);
}

#[test]
fn who_does_not_lead_approves_nothing_and_calls_nothing_over() {
    let mut grantor = Grantor::new(timing());
    grantor.handle_renew(1, A, vec![lease(7)], at(1));
    assert_eq!(drain(&mut grantor), [Refuse { request: 1 }]);
    assert_eq!(grantor.over_at(G, Epoch(7)), None);
    assert!(!grantor.is_over(G, Epoch(7), at(1_000_000)));
    assert_eq!(grantor.poll_timeout(), None);
}

#[test]
fn a_new_leader_waits_out_what_its_predecessors_approved() {
    let grantor = leading();
    assert!(!grantor.is_over(G, Epoch(7), at(11_029)));
    assert!(grantor.is_over(G, Epoch(7), at(11_030)));
    assert_eq!(grantor.poll_timeout(), Some((at(11_030), GrantorWake::Over)));
}

#[test]
fn the_voters_answers_shorten_the_wait_and_never_lengthen_it() {
    let mut grantor = leading();
    grantor.handle_takeover_bound(2, at(1));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(11_030)), "that was for another term");
    grantor.handle_takeover_bound(3, at(9_700));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(10_730)));
    grantor.handle_takeover_bound(3, at(10_500));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(10_730)));
}

#[test]
fn an_earlier_term_of_its_own_counts_among_the_predecessors() {
    let mut grantor = leading();
    approve(&mut grantor, 12_000);
    grantor.handle_deposed(at(12_100));
    grantor.handle_elected(5, at(12_200));
    // It acknowledged itself then; the voters it asks may not have.
    grantor.handle_takeover_bound(5, at(9_000));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_030)));
}

#[test]
fn what_it_approved_since_its_election_says_nothing_of_other_leases() {
    let mut grantor = leading();
    grantor.handle_elected(5, at(12_200));
    approve(&mut grantor, 12_300);
    grantor.handle_takeover_bound(5, at(11_000));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_330)), "approved");
    assert_eq!(grantor.over_at(G, Epoch(6)), Some(at(12_030)), "silent since the leader before");
}

#[test]
fn a_lease_is_over_a_stretched_ttl_after_its_last_approval() {
    let mut grantor = leading();
    approve(&mut grantor, 12_000);
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_030)));
    assert_eq!(grantor.over_at(G, Epoch(6)), Some(at(11_030)), "another epoch has its own");
    approve(&mut grantor, 12_500);
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_530)));
}

#[test]
fn the_approval_counts_from_the_answer_not_from_the_request() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(12_400));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_430)));
}

#[test]
fn only_what_the_log_gives_the_asker_is_good() {
    for (state, from) in [(held(A, 8), A), (held(B, 7), A), (State::default(), A), (held(A, 7), B)]
    {
        let mut grantor = leading();
        grantor.handle_renew(1, from, vec![lease(7)], at(12_000));
        drain(&mut grantor);
        grantor.handle_confirm_result(1, true, &state, at(12_000));
        assert_eq!(drain(&mut grantor), [Answer { request: 1, good: vec![] }]);
        assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(11_030)), "nothing was approved");
    }
}

#[test]
fn requests_that_arrive_during_a_round_wait_for_the_next() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![], at(12_000));
    grantor.handle_renew(2, B, vec![], at(12_001));
    assert_eq!(drain(&mut grantor), [Confirm { round: 1 }]);
    grantor.handle_renew(3, A, vec![lease(7)], at(12_002));
    assert_eq!(drain(&mut grantor), []);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(12_003));
    let answers = [Answer { request: 1, good: vec![] }, Answer { request: 2, good: vec![] }];
    assert_eq!(drain(&mut grantor), [&answers[..], &[Confirm { round: 2 }]].concat());
    grantor.handle_confirm_result(2, true, &held(A, 7), at(12_004));
    assert_eq!(drain(&mut grantor), [Answer { request: 3, good: vec![lease(7)] }]);
}

#[test]
fn a_round_that_failed_approves_nothing() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.handle_confirm_result(1, false, &held(A, 7), at(12_001));
    assert_eq!(drain(&mut grantor), [Refuse { request: 1 }]);
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(11_030)));
}

#[test]
fn a_round_of_an_earlier_leadership_approves_nothing() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.handle_deposed(at(12_001));
    grantor.handle_elected(4, at(12_002));
    assert_eq!(drain(&mut grantor), [Refuse { request: 1 }]);
    grantor.handle_renew(2, A, vec![lease(7)], at(12_003));
    assert_eq!(drain(&mut grantor), [Confirm { round: 2 }]);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(12_004));
    assert_eq!(drain(&mut grantor), []);
}

#[test]
fn a_lost_round_makes_way_for_the_next() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.handle_timeout(at(11_030));
    assert_eq!(grantor.poll_timeout(), Some((at(13_000), GrantorWake::RoundLost)));
    grantor.handle_renew(2, A, vec![lease(7)], at(12_999));
    grantor.handle_timeout(at(13_000));
    assert_eq!(drain(&mut grantor), [Refuse { request: 1 }, Confirm { round: 2 }]);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(13_001));
    assert_eq!(drain(&mut grantor), []);
}

#[test]
fn a_blocked_group_is_approved_to_nobody() {
    let mut grantor = leading();
    grantor.block(G);
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(12_000));
    assert_eq!(drain(&mut grantor), [Answer { request: 1, good: vec![] }]);
    grantor.unblock(G);
    approve(&mut grantor, 12_001);
}

#[test]
fn a_block_also_holds_for_the_round_under_way() {
    let mut grantor = leading();
    grantor.handle_renew(1, A, vec![lease(7)], at(12_000));
    drain(&mut grantor);
    grantor.block(G);
    // Were its entry applied meanwhile, the state given here may still be the one before it.
    grantor.unblock(G);
    grantor.handle_confirm_result(1, true, &held(A, 7), at(12_001));
    assert_eq!(drain(&mut grantor), [Answer { request: 1, good: vec![] }]);
}

#[test]
fn two_blocks_need_two_ends() {
    let mut grantor = leading();
    grantor.block(G);
    grantor.block(G);
    grantor.unblock(G);
    assert!(grantor.is_blocked(G));
    grantor.unblock(G);
    grantor.unblock(G);
    assert!(!grantor.is_blocked(G));
    grantor.block(GroupId(2));
    grantor.handle_deposed(at(12_000));
    assert!(!grantor.is_blocked(GroupId(2)));
}

#[test]
fn a_stalled_leader_calls_nobody_silent() {
    let mut grantor = leading();
    approve(&mut grantor, 12_000);
    grantor.handle_stall(at(20_000));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(21_030)));
    assert_eq!(grantor.over_at(GroupId(2), Epoch(9)), Some(at(21_030)), "never renewed with it");
}

#[test]
fn a_forgotten_lease_is_over_no_earlier_than_it_was() {
    let mut grantor = leading();
    approve(&mut grantor, 12_000);
    grantor.handle_applied(&held(B, 9), at(12_900));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(13_030)));
    grantor.handle_applied(&held(B, 9), at(13_031));
    assert!(grantor.is_over(G, Epoch(7), at(13_031)));
}

#[test]
fn waiting_renewals_are_bounded_per_node() {
    let mut grantor = leading();
    for request in 0..20 {
        grantor.handle_renew(request, A, vec![], at(12_000));
    }
    let refused = drain(&mut grantor);
    let expected: Vec<_> = (0..12).map(|request| Refuse { request }).collect();
    assert_eq!(refused[..12], expected);
    assert_eq!(refused[12..], [Confirm { round: 1 }]);
}

#[test]
fn a_fresh_grant_has_the_time_of_a_lease_to_be_heard_of() {
    let mut grantor = leading();
    grantor.handle_applied(&held(A, 7), at(10_001));
    assert_eq!(grantor.over_at(G, Epoch(7)), Some(at(11_030)), "granted before this node led");
    grantor.handle_applied(&held(B, 9), at(20_000));
    assert_eq!(grantor.over_at(G, Epoch(9)), Some(at(21_030)));
    grantor.handle_applied(&held(B, 9), at(20_500));
    assert_eq!(grantor.over_at(G, Epoch(9)), Some(at(21_030)), "once");
}

/// A's group gave an address away in entry 20.
fn retiring(state: &mut State) -> Retiring {
    let address = "192.0.2.1".parse().unwrap();
    let one = Retiring { address, group: G, epoch: Epoch(7), holder: A, index: 20 };
    state.retiring.push(one.clone());
    one
}

#[test]
fn an_address_retires_once_its_holder_has_programmed_the_change() {
    let mut state = held(A, 7);
    let one = retiring(&mut state);
    let grantor = leading();
    let reported = |index| BTreeMap::from([(A, index)]);
    assert_eq!(grantor.retired(&state, &reported(19), at(10_000)), []);
    assert_eq!(grantor.retired(&state, &reported(20), at(10_000)), [one]);
    assert_eq!(Grantor::new(timing()).retired(&state, &reported(20), at(10_000)), []);
}

#[test]
fn silence_retires_no_address_of_an_epoch_in_force() {
    let mut state = held(A, 7);
    let one = retiring(&mut state);
    let grantor = leading();
    assert_eq!(grantor.retired(&state, &BTreeMap::new(), at(99_000)), []);
    state.leases.remove(&G);
    assert_eq!(grantor.retired(&state, &BTreeMap::new(), at(11_029)), []);
    assert_eq!(grantor.retired(&state, &BTreeMap::new(), at(11_030)), [one]);
}
