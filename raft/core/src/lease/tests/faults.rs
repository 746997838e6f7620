//! The protocol under faults: one answerer, always; one who answers, once the faults end. And the
//! judge is judged: a mistake planted in the shell around the protocol must be found.

use std::time::Duration;

use proptest::prelude::*;

use super::node::Fault;
use super::world::{Tally, World};

const CHAOS: Duration = Duration::from_secs(30);

fn chaos(seed: u64, fault: Fault) -> Result<World, String> {
    let mut world = World::new(seed, fault);
    world.run(CHAOS).map_err(|found| format!("seed {seed}: {found}"))?;
    Ok(world)
}

fn finds(fault: Fault) -> bool {
    (0..3000).any(|seed| chaos(seed, fault).is_err())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_answers_whatever_fails_and_one_does_once_nothing_fails(seed in any::<u64>()) {
        let mut world = match chaos(seed, Fault::None) {
            Ok(world) => world,
            Err(found) => return Err(TestCaseError::fail(found)),
        };
        world.calm();
        let calm = world.run(Duration::from_secs(10));
        prop_assert_eq!(calm, Ok(()));
        prop_assert_eq!(world.retiring(), 0);
        let answered = world.answerers();
        prop_assert!(answered.len() >= 2, "seed {}: {:?}", seed, answered);
    }
}

#[test]
fn the_faults_do_come_about() {
    let mut sum = Tally::default();
    for seed in 0..10 {
        let tally = chaos(seed, Fault::None).unwrap().tally;
        sum.opened += tally.opened;
        sum.shortened += tally.shortened;
        sum.handovers += tally.handovers;
        sum.moved += tally.moved;
        sum.guarded += tally.guarded;
        sum.frozen_writes += tally.frozen_writes;
    }
    let least = [sum.opened, sum.shortened, sum.handovers, sum.moved, sum.guarded];
    assert!(least.into_iter().chain([sum.frozen_writes]).all(|count| count > 10), "{sum:?}");
}

#[test]
fn the_judge_finds_a_judgement_proposed_in_a_later_term() {
    assert!(finds(Fault::StaleGrant));
}

#[test]
fn the_judge_finds_an_address_retired_for_silence() {
    assert!(finds(Fault::RetireBySilence));
}

#[test]
fn the_judge_finds_a_leader_that_forgets_its_own_acknowledgement() {
    assert!(finds(Fault::NoSelfAcknowledgement));
}

#[test]
fn the_judge_finds_a_start_that_is_not_announced() {
    assert!(finds(Fault::NoStarted));
}

#[test]
fn the_judge_finds_a_voter_that_forgets_over_a_restart() {
    assert!(finds(Fault::ForgetfulVoter));
}

#[test]
fn the_judge_finds_approvals_without_a_quorum() {
    assert!(finds(Fault::NoConfirm));
}

#[test]
fn the_judge_finds_a_lease_that_opens_before_the_kernel_follows_the_log_to_it() {
    assert!(finds(Fault::OpenUnprogrammed));
}

#[test]
fn the_judge_finds_a_report_of_what_the_kernel_has_yet_to_follow() {
    assert!(finds(Fault::ReportApplied));
}
