//! The protocol passes at small bounds, and each planted mistake is found.

use stateright::{Checker, HasDiscoveries};

use super::{Fault, Lease, Scope, check, run};

#[test]
fn every_scope_passes_at_a_small_horizon() {
    for scope in Scope::ALL {
        let horizon = match scope {
            Scope::Elections | Scope::Restarts => 1,
            Scope::Silence
            | Scope::Election
            | Scope::Crashes
            | Scope::Handover
            | Scope::Moves
            | Scope::Returns => 2,
        };
        let report = check(scope, horizon);
        let broken = report.verdicts.iter().find(|one| one.always && !one.is_good());
        assert!(broken.is_none(), "{report}");
    }
}

#[test]
fn what_should_happen_does() {
    for scope in [Scope::Moves, Scope::Returns] {
        let report = check(scope, 2);
        assert!(report.is_good(), "{report}");
    }
}

fn finds(fault: Fault, scope: Scope, horizon: u64) {
    let report = run(Lease::new(scope, horizon, fault), |checker| {
        checker.finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join()
    });
    let broken = report.verdicts.iter().find(|one| one.always && !one.is_good());
    assert!(broken.is_some(), "{fault:?} was not found: {report}");
}

#[test]
fn a_deadline_counted_from_receipt_is_found() {
    finds(Fault::DeadlineFromReceipt, Scope::Silence, 4);
}

#[test]
fn a_new_leader_that_does_not_wait_is_found() {
    finds(Fault::NoElectedWait, Scope::Elections, 1);
}

#[test]
fn approving_what_is_being_given_away_is_found() {
    finds(Fault::NoBlock, Scope::Silence, 4);
}

#[test]
fn confirming_without_a_quorum_is_found() {
    finds(Fault::NoQuorum, Scope::Silence, 4);
}

#[test]
fn taking_clocks_for_equal_is_found() {
    finds(Fault::NoDrift, Scope::Silence, 4);
}

#[test]
fn a_guard_that_speaks_before_it_closes_is_found() {
    finds(Fault::GuardSpeaksFirst, Scope::Crashes, 2);
}

#[test]
fn a_guard_that_lets_a_hung_daemon_live_is_found() {
    finds(Fault::GuardLetsLive, Scope::Crashes, 3);
}

#[test]
fn a_kernel_without_deadlines_is_found() {
    finds(Fault::NoFence, Scope::Silence, 4);
}

#[test]
fn a_release_before_the_close_is_found() {
    finds(Fault::ReleaseBeforeClose, Scope::Handover, 2);
}

#[test]
fn a_voter_that_forgets_over_a_restart_is_found() {
    finds(Fault::ForgetfulVoter, Scope::Restarts, 1);
}

#[test]
fn a_leader_that_forgets_its_own_acknowledgement_is_found() {
    finds(Fault::NoSelfAcknowledgement, Scope::Elections, 1);
}

#[test]
fn an_address_retired_for_silence_is_found() {
    finds(Fault::RetireBySilence, Scope::Moves, 4);
}

#[test]
fn an_address_opened_before_it_retired_is_found() {
    finds(Fault::NoRetiring, Scope::Moves, 2);
}

#[test]
fn a_lease_that_opens_before_the_kernel_follows_the_log_to_it_is_found() {
    finds(Fault::OpenUnprogrammed, Scope::Returns, 2);
}
