//! What a holder does, and what it never does.

use leasehold_model::{BootNanos, Epoch};

use super::super::{Closed, Holder, HolderCommand, HolderWake};
use super::{G, at, lease, timing};
use HolderCommand::{Close, OpenUntil, Release, Renew};

fn drain(holder: &mut Holder) -> Vec<HolderCommand> {
    std::iter::from_fn(|| holder.poll_command()).collect()
}

fn renew(sent: BootNanos, epochs: &[u64]) -> HolderCommand {
    Renew { sent, leases: epochs.iter().map(|epoch| lease(*epoch)).collect() }
}

fn open(epoch: u64, deadline: BootNanos, first: bool) -> HolderCommand {
    OpenUntil { group: G, epoch: Epoch(epoch), deadline, first }
}

fn close(epoch: u64, why: Closed) -> HolderCommand {
    Close { group: G, epoch: Epoch(epoch), why }
}

fn release(epoch: u64) -> HolderCommand {
    Release { group: G, epoch: Epoch(epoch) }
}

/// Holds epoch 7, not confirmed; its first renewal was sent at 1000 ms.
fn granted() -> Holder {
    let mut holder = Holder::new(timing(), at(0));
    holder.handle_programmed(7);
    holder.handle_applied(&[lease(7)], at(1000));
    drain(&mut holder);
    holder
}

/// Holds epoch 7, open until 1980 ms.
fn opened() -> Holder {
    let mut holder = granted();
    holder.handle_confirmed(at(1000), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), [open(7, at(1980), true)]);
    holder
}

fn surrendered() -> Holder {
    let mut holder = opened();
    holder.handle_surrender(G, at(1100));
    assert_eq!(drain(&mut holder), [close(7, Closed::Surrendered), release(7)]);
    holder
}

#[test]
fn a_lease_opens_only_once_the_kernel_follows_the_log_to_its_grant() {
    let mut holder = Holder::new(timing(), at(0));
    holder.handle_programmed(6);
    holder.handle_applied(&[lease(7)], at(1000));
    drain(&mut holder);
    holder.handle_confirmed(at(1000), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), []);
    assert_eq!(holder.poll_timeout(), Some((at(1150), HolderWake::Renew)));
    // Asked again as soon as the kernel is there.
    let soon = at(1020);
    holder.handle_programmed(7);
    assert!(holder.poll_timeout().is_some_and(|(due, _)| due <= soon));
    // An earlier report that comes late takes nothing back.
    holder.handle_programmed(5);
    holder.handle_timeout(soon);
    assert_eq!(drain(&mut holder), [renew(soon, &[7])]);
    holder.handle_confirmed(soon, &[lease(7)], soon);
    let deadline = timing().holder_deadline(soon);
    assert_eq!(drain(&mut holder), [open(7, deadline, true)]);
}

#[test]
fn a_node_that_holds_nothing_renews_too() {
    let mut holder = Holder::new(timing(), at(0));
    assert_eq!(drain(&mut holder), [renew(at(0), &[])]);
    assert_eq!(holder.poll_timeout(), Some((at(150), HolderWake::Renew)));
    holder.handle_timeout(at(150));
    assert_eq!(drain(&mut holder), [renew(at(150), &[])]);
}

#[test]
fn a_grant_alone_opens_nothing_and_renews_at_once() {
    let mut holder = Holder::new(timing(), at(0));
    drain(&mut holder);
    // The renewal of instant 0 is in flight still.
    holder.handle_applied(&[lease(7)], at(1));
    assert_eq!(drain(&mut holder), [renew(at(1), &[7])]);
    assert_eq!(holder.leases().next().unwrap().open_until, None);
}

#[test]
fn two_renewals_never_share_an_instant() {
    let mut holder = Holder::new(timing(), at(0));
    drain(&mut holder);
    holder.handle_applied(&[lease(7)], at(0));
    assert_eq!(drain(&mut holder), []);
    let next = BootNanos(at(0).0 + 1);
    assert_eq!(holder.poll_timeout(), Some((next, HolderWake::Renew)));
    holder.handle_timeout(next);
    assert_eq!(drain(&mut holder), [renew(next, &[7])]);
}

#[test]
fn a_deadline_counts_from_sending() {
    let mut holder = granted();
    holder.handle_confirmed(at(1000), &[lease(7)], at(1900));
    assert_eq!(drain(&mut holder)[0], open(7, at(1980), true));
}

#[test]
fn a_late_answer_opens_nothing() {
    let mut holder = granted();
    holder.handle_confirmed(at(1000), &[lease(7)], at(1980));
    assert!(!drain(&mut holder).iter().any(|one| matches!(one, OpenUntil { .. })));
}

#[test]
fn answers_out_of_order_never_shorten_a_lease() {
    let mut holder = granted();
    holder.handle_timeout(at(1150));
    holder.handle_confirmed(at(1150), &[lease(7)], at(1160));
    holder.handle_confirmed(at(1000), &[lease(7)], at(1170));
    assert_eq!(drain(&mut holder), [renew(at(1150), &[7]), open(7, at(2130), true)]);
    assert_eq!(holder.leases().next().unwrap().open_until, Some(at(2130)));
}

#[test]
fn a_copy_of_an_answer_changes_nothing() {
    let mut holder = opened();
    let before = holder.clone();
    holder.handle_confirmed(at(1000), &[lease(7)], at(1020));
    assert_eq!(holder, before);
}

#[test]
fn an_answer_to_what_was_never_asked_opens_nothing() {
    let mut holder = granted();
    holder.handle_confirmed(at(1001), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), []);
    // The renewal of instant 0 asked for no lease; the leader can't have approved one then.
    let mut holder = Holder::new(timing(), at(0));
    holder.handle_applied(&[lease(7)], at(10));
    drain(&mut holder);
    holder.handle_confirmed(at(0), &[lease(7)], at(20));
    assert_eq!(drain(&mut holder), []);
}

#[test]
fn an_answer_for_another_epoch_opens_nothing() {
    let mut holder = granted();
    holder.handle_applied(&[lease(9)], at(1005));
    drain(&mut holder);
    holder.handle_confirmed(at(1000), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), []);
}

#[test]
fn a_lease_that_is_not_good_is_asked_for_again_soon() {
    let mut holder = granted();
    holder.handle_confirmed(at(1000), &[], at(1010));
    assert_eq!(holder.poll_timeout(), Some((at(1060), HolderWake::Renew)));
}

#[test]
fn a_failed_renewal_is_repeated_soon_but_not_at_once() {
    let mut holder = opened();
    holder.handle_timeout(at(1150));
    drain(&mut holder);
    holder.handle_failed(at(1150), at(1151));
    assert_eq!(drain(&mut holder), []);
    assert_eq!(holder.poll_timeout(), Some((at(1201), HolderWake::Renew)));
    // The lease itself is as good as before.
    assert_eq!(holder.leases().next().unwrap().open_until, Some(at(1980)));
}

#[test]
fn an_expired_lease_is_closed_before_it_is_renewed() {
    let mut holder = opened();
    assert!(holder.poll_timeout().unwrap().0 < at(1980));
    holder.handle_timeout(at(1980));
    assert_eq!(drain(&mut holder), [close(7, Closed::Expired), renew(at(1980), &[7])]);
    holder.handle_confirmed(at(1980), &[lease(7)], at(1990));
    assert_eq!(drain(&mut holder), [open(7, at(2960), true)]);
}

#[test]
fn a_confirmation_after_the_deadline_closes_first() {
    let mut holder = opened();
    holder.handle_timeout(at(1150));
    drain(&mut holder);
    holder.handle_confirmed(at(1150), &[lease(7)], at(2000));
    let commands = drain(&mut holder);
    assert_eq!(commands[..2], [close(7, Closed::Expired), open(7, at(2130), true)]);
}

#[test]
fn expiry_wakes_the_holder_when_it_comes_before_the_next_renewal() {
    let mut holder = opened();
    for ms in (1150..1980).step_by(150) {
        holder.handle_timeout(at(ms));
    }
    assert_eq!(holder.poll_timeout(), Some((at(1980), HolderWake::Expire)));
}

#[test]
fn a_revoked_lease_is_closed() {
    for next in [&[][..], &[lease(9)]] {
        let mut holder = opened();
        holder.handle_applied(next, at(1100));
        assert_eq!(drain(&mut holder)[0], close(7, Closed::Revoked));
    }
}

#[test]
fn an_opening_that_the_shell_has_not_seen_is_withdrawn_by_a_close() {
    let mut holder = granted();
    holder.handle_confirmed(at(1000), &[lease(7)], at(1010));
    holder.handle_applied(&[], at(1020));
    assert_eq!(drain(&mut holder), [close(7, Closed::Revoked)]);
}

#[test]
fn a_surrendered_lease_never_opens_again() {
    let mut holder = opened();
    holder.handle_timeout(at(1150));
    holder.handle_surrender(G, at(1160));
    holder.handle_surrender(G, at(1161));
    drain(&mut holder);
    // The confirmation that was in flight.
    holder.handle_confirmed(at(1150), &[lease(7)], at(1170));
    // A state that still has it; one without it; and, out of order, one that has it again.
    holder.handle_applied(&[lease(7)], at(1180));
    holder.handle_applied(&[], at(1190));
    holder.handle_applied(&[lease(7)], at(1195));
    holder.handle_leader_changed(at(1200));
    assert_eq!(drain(&mut holder), [renew(at(1200), &[])]);
    assert_eq!(holder.leases().count(), 0);
    holder.handle_applied(&[lease(8)], at(1210));
    assert_eq!(drain(&mut holder), [renew(at(1210), &[8])]);
}

#[test]
fn a_release_is_repeated_until_the_log_has_it() {
    let mut holder = surrendered();
    holder.handle_timeout(at(1150));
    assert_eq!(drain(&mut holder), [renew(at(1150), &[])]);
    assert_eq!(holder.poll_timeout(), Some((at(1250), HolderWake::RepeatRelease)));
    for ms in [1300, 1450, 1600] {
        holder.handle_timeout(at(ms));
        assert_eq!(drain(&mut holder), [release(7), renew(at(ms), &[])]);
    }
    holder.handle_applied(&[], at(1610));
    holder.handle_timeout(at(1750));
    assert_eq!(drain(&mut holder), [renew(at(1750), &[])]);
}

#[test]
fn a_clock_jump_closes_first_forgets_answers_and_renews_second() {
    let mut holder = opened();
    holder.handle_timeout(at(1150));
    holder.handle_timeout(at(1300));
    holder.handle_clock_jump(at(1400));
    // The renewals that were not sent yet are not sent any more.
    assert_eq!(drain(&mut holder), [close(7, Closed::ClockJump), renew(at(1400), &[7])]);
    holder.handle_confirmed(at(1300), &[lease(7)], at(1410));
    assert_eq!(drain(&mut holder), []);
    holder.handle_confirmed(at(1400), &[lease(7)], at(1420));
    assert_eq!(drain(&mut holder), [open(7, at(2380), true)]);
}

#[test]
fn a_new_leader_is_asked_at_once() {
    let mut holder = opened();
    holder.handle_leader_changed(at(1020));
    assert_eq!(drain(&mut holder), [renew(at(1020), &[7])]);
}

#[test]
fn renewals_in_flight_are_bounded_and_the_oldest_is_forgotten() {
    let mut holder = granted();
    for ms in 1001..=1008 {
        holder.handle_leader_changed(at(ms));
    }
    drain(&mut holder);
    holder.handle_confirmed(at(1000), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), []);
    holder.handle_confirmed(at(1001), &[lease(7)], at(1010));
    assert_eq!(drain(&mut holder), [open(7, at(1981), true)]);
}

#[expect(clippy::too_many_lines, reason = "it is one table")]
/// Every event in every phase: the phase after it, and what is said about the lease itself.
#[test]
fn the_table() {
    type Event = (&'static str, fn(&mut Holder));
    let events: [Event; 10] = [
        ("held", |h| h.handle_applied(&[lease(7)], at(1200))),
        ("regranted", |h| h.handle_applied(&[lease(9)], at(1200))),
        ("gone", |h| h.handle_applied(&[], at(1200))),
        ("confirmed", |h| h.handle_confirmed(at(1150), &[lease(7)], at(1200))),
        ("not good", |h| h.handle_confirmed(at(1150), &[], at(1200))),
        ("failed", |h| h.handle_failed(at(1150), at(1200))),
        ("surrender", |h| h.handle_surrender(G, at(1200))),
        ("leader", |h| h.handle_leader_changed(at(1200))),
        ("jump", |h| h.handle_clock_jump(at(1200))),
        ("late", |h| h.handle_timeout(at(5000))),
    ];
    type Row = (&'static str, fn() -> Holder, [&'static str; 10]);
    let rows: [Row; 3] = [
        (
            "closed",
            granted,
            [
                "closed",
                "closed 9: revoked",
                "none: revoked",
                "open: opens",
                "closed",
                "closed",
                "surrendered: surrendered, releases",
                "closed",
                "closed",
                "closed",
            ],
        ),
        (
            "open",
            opened,
            [
                "open",
                "closed 9: revoked",
                "none: revoked",
                "open: extends",
                "open",
                "open",
                "surrendered: surrendered, releases",
                "open",
                "closed: clock-jump",
                "closed: expired",
            ],
        ),
        (
            "surrendered",
            surrendered,
            [
                "surrendered",
                "closed 9",
                "none",
                "surrendered",
                "surrendered",
                "surrendered",
                "surrendered",
                "surrendered",
                "surrendered",
                "surrendered: releases",
            ],
        ),
    ];
    for (phase, make, expected) in rows {
        for ((event, apply), expected) in events.iter().zip(expected) {
            let mut holder = make();
            holder.handle_timeout(at(1150));
            drain(&mut holder);
            apply(&mut holder);
            assert_eq!(summary(&mut holder), expected, "{event} while {phase}");
        }
    }
}

fn summary(holder: &mut Holder) -> String {
    let said: Vec<&str> = drain(holder)
        .iter()
        .filter_map(|one| match one {
            Renew { .. } => None,
            OpenUntil { first: true, .. } => Some("opens"),
            OpenUntil { first: false, .. } => Some("extends"),
            Close { why: Closed::Expired, .. } => Some("expired"),
            Close { why: Closed::Revoked, .. } => Some("revoked"),
            Close { why: Closed::Surrendered, .. } => Some("surrendered"),
            Close { why: Closed::ClockJump, .. } => Some("clock-jump"),
            Release { .. } => Some("releases"),
        })
        .collect();
    let phase = match holder.leases().next() {
        None => "none".to_owned(),
        Some(one) => {
            let phase = match (one.open_until, one.surrendered) {
                (None, false) => "closed",
                (Some(_), false) => "open",
                (None, true) => "surrendered",
                (Some(_), true) => "open though surrendered",
            };
            if one.epoch == Epoch(7) { phase.to_owned() } else { format!("{phase} {}", one.epoch) }
        }
    };
    if said.is_empty() { phase } else { format!("{phase}: {}", said.join(", ")) }
}
