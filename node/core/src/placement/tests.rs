//! The rules of placement, one sentence each.

mod settle;
mod world;

use std::time::Duration;

use leasehold_model::{Foreigner, GroupId, NodeId, Role};

use super::*;
use world::World;

fn grant(to: u64, cause: Cause) -> Vec<Decision> {
    vec![Decision::Grant { group: GroupId(0), to: NodeId(to), cause }]
}

fn handover(to: u64, cause: Cause) -> Vec<Decision> {
    vec![Decision::Handover { group: GroupId(0), to: NodeId(to), cause }]
}

#[test]
fn the_highest_priority_gets_a_free_group() {
    assert_eq!(World::of(&[90, 100, 80]).decisions(), grant(2, Cause::Created));
}

#[test]
fn a_spare_gets_it_only_when_nobody_else_can() {
    let mut world = World::of(&[0, 1]);
    assert_eq!(world.decisions(), grant(2, Cause::Created));
    world.silence(2);
    assert_eq!(world.decisions(), grant(1, Cause::Created));
}

#[test]
fn tracking_changes_the_priority_and_never_makes_a_spare() {
    let mut world = World::of(&[100, 90]);
    world.report(1).priority_delta.insert("web".to_owned(), -500);
    assert_eq!(world.decisions(), grant(2, Cause::Created));
    world.report(2).priority_delta.insert("web".to_owned(), i16::MIN);
    assert_eq!(world.decisions(), grant(2, Cause::Created), "1 and 1, and 1 leads");
    let mut world = World::of(&[0, 5]);
    world.report(1).priority_delta.insert("web".to_owned(), 200);
    assert_eq!(world.decisions(), grant(2, Cause::Created));
}

/// Instances `web` and `inside`, held by ds1.
fn synced() -> World {
    let mut world = World::of(&[100, 90]);
    let mut inside = world.groups[0].instance.clone();
    inside.interface = "eth1".to_owned();
    world.groups[0].partners.push(("inside".to_owned(), inside));
    for node in [1, 2] {
        world.report(node).interfaces_up.insert("eth1".to_owned());
    }
    world.held_by(1);
    world
}

fn hears(world: &mut World, node: u64, priority: u8) {
    let master = Some(([192, 0, 2, 9].into(), priority));
    let heard = Foreigner { master, listens: false };
    world.report(node).foreigners.insert("web".to_owned(), heard);
}

#[test]
fn a_router_from_outside_that_one_director_hears_is_yielded_to_by_all() {
    let mut world = World::of(&[100, 90]);
    hears(&mut world, 2, 150);
    assert_eq!(world.decisions(), grant(1, Cause::Created), "not where it is only told of");
    world.groups[0].instance.adverts.foreign_master = ForeignMaster::Yield;
    quiet(&mut world, 1);
    assert_eq!(world.decisions(), vec![]);
    assert!(world.explain().contains("192.0.2.9 is master with priority 150"));
    quiet(&mut world, 2);
    assert_eq!(world.decisions(), grant(1, Cause::Created));
    world.report(1).foreigners.clear();
    assert_eq!(world.decisions(), grant(2, Cause::Created), "one that has not said whom it hears");
}

fn quiet(world: &mut World, node: u64) {
    let heard = Foreigner { master: None, listens: false };
    world.report(node).foreigners.insert("web".to_owned(), heard);
}

#[test]
fn a_lower_router_from_outside_is_preempted_where_that_is_allowed() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].instance.adverts.foreign_master = ForeignMaster::Yield;
    hears(&mut world, 1, 95);
    quiet(&mut world, 2);
    assert_eq!(world.decisions(), grant(1, Cause::Created));
    world.groups[0].instance.preempt = false;
    assert_eq!(world.decisions(), vec![]);
}

#[test]
fn what_was_yielded_stays_free_until_everybody_has_heard() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].cause = Cause::Yielded;
    assert_eq!(world.decisions(), vec![]);
    world.wait(Duration::from_millis(900));
    assert_eq!(world.place().wake, Some(world.now.after(Duration::from_millis(100))));
    world.wait(Duration::from_millis(100));
    assert_eq!(world.decisions(), grant(1, Cause::Yielded));
}

#[test]
fn a_sync_group_moves_when_one_of_its_instances_must() {
    let mut world = synced();
    assert_eq!(world.decisions(), vec![]);
    world.report(1).interfaces_up.remove("eth1");
    assert_eq!(world.decisions(), handover(2, Cause::Unserviceable));
    let mut world = synced();
    world.report(1).faults.insert("inside".to_owned(), "script haproxy failed".to_owned());
    assert_eq!(world.decisions(), handover(2, Cause::Unserviceable));
    assert!(world.explain().contains("fault: script haproxy failed"), "{}", world.explain());
}

#[test]
fn a_sync_group_is_as_fit_as_its_weakest_instance() {
    let mut world = synced();
    world.report(1).priority_delta.insert("inside".to_owned(), -20);
    assert_eq!(world.decisions(), handover(2, Cause::Preempted));
    world.groups[0].partners[0].1.preempt = false;
    assert_eq!(world.decisions(), vec![], "one that may not be preempted holds the others");
}

#[test]
fn an_owner_keeps_its_priority_whatever_is_tracked() {
    let mut world = World::of(&[255, 254]);
    world.report(1).priority_delta.insert("web".to_owned(), -100);
    assert_eq!(world.decisions(), grant(1, Cause::Created));
    world.report(2).priority_delta.insert("web".to_owned(), 100);
    assert_eq!(world.decisions(), grant(1, Cause::Created), "nobody is raised to an owner's");
}

#[test]
fn the_ineligible_get_nothing() {
    type Spoil = fn(&mut World);
    let spoils: [(&str, Spoil); 6] = [
        ("witness", |world| world.members[0].2 = Role::Witness),
        ("unheard", |world| world.silence(1)),
        ("drained", |world| world.drain(1)),
        ("stopping", |world| world.report(1).stopping = true),
        ("interface down", |world| world.report(1).interfaces_up.clear()),
        ("unable", |world| {
            world.report(1).unable.insert("web".to_owned(), "EPERM".to_owned());
        }),
    ];
    for (name, spoil) in spoils {
        let mut world = World::of(&[200, 100]);
        spoil(&mut world);
        assert_eq!(world.decisions(), grant(2, Cause::Created), "{name}");
        world.silence(2);
        assert_eq!(world.decisions(), vec![], "{name}, alone");
    }
}

#[test]
fn every_interface_of_the_instance_must_be_up() {
    let mut world = World::of(&[200, 100]);
    world.groups[0].instance.virtual_ipaddress[0].dev = Some("eth1".to_owned());
    world.report(2).interfaces_up.insert("eth1".to_owned());
    assert_eq!(world.decisions(), grant(2, Cause::Created), "ds1 lacks the VIP's");
    world.report(1).interfaces_up = ["eth1".to_owned()].into();
    assert_eq!(world.decisions(), grant(2, Cause::Created), "ds1 lacks the adverts'");
}

#[test]
fn a_directors_own_interface_counts_for_it() {
    let mut world = World::of(&[200, 100]);
    let own = world.groups[0].instance.directors.get_mut("ds1").unwrap();
    own.interface = Some("ens3".to_owned());
    assert_eq!(world.decisions(), grant(2, Cause::Created));
    world.report(1).interfaces_up = ["ens3".to_owned()].into();
    assert_eq!(world.decisions(), grant(1, Cause::Created));
}

#[test]
fn a_holder_that_fell_silent_is_waited_for_until_its_lease_is_over() {
    let mut world = World::of(&[100, 90]);
    world.held_by(1);
    world.silence(1);
    assert_eq!(world.decisions(), vec![]);
    world.groups[0].over = true;
    assert_eq!(world.decisions(), grant(2, Cause::Expired));
}

#[test]
fn a_released_group_is_granted_for_the_reason_of_its_release() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].cause = Cause::DaemonDied;
    world.silence(1);
    assert_eq!(world.decisions(), grant(2, Cause::DaemonDied));
}

#[test]
fn among_equals_a_holder_keeps_it() {
    let mut world = World::of(&[100, 100]);
    world.held_by(2);
    world.wait(Duration::from_secs(3600));
    assert_eq!(world.place(), Placement::default());
    world.groups[0].over = true;
    assert_eq!(world.decisions(), grant(2, Cause::Expired));
    world.groups[0].holder = Some(NodeId(1));
    assert_eq!(world.decisions(), grant(1, Cause::Expired), "though it leads");
}

#[test]
fn free_groups_of_equals_are_spread_and_the_leader_is_last() {
    let mut world = World::empty(3);
    for name in ["a", "b", "c", "d"] {
        world.add(name, &[100, 100, 100]);
    }
    let to: Vec<u64> = world.decisions().iter().map(|one| one.to().0).collect();
    assert_eq!(to, [2, 3, 1, 2]);
}

#[test]
fn a_higher_priority_preempts() {
    let mut world = World::of(&[100, 90]);
    world.held_by(2);
    assert_eq!(world.decisions(), handover(1, Cause::Preempted));
}

#[test]
fn without_preempt_a_healthy_holder_keeps_it() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].instance.preempt = false;
    world.held_by(2);
    assert_eq!(world.place(), Placement::default());
    world.drain(2);
    assert_eq!(world.decisions(), handover(1, Cause::Drained));
}

#[test]
fn preemption_waits_for_its_delay_and_says_when_to_ask_again() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].instance.preempt_delay_ms = 5000;
    world.held_by(2);
    let due = world.now.after(Duration::from_secs(5));
    assert_eq!(world.place(), Placement { decisions: vec![], wake: Some(due) });
    world.wait(Duration::from_millis(4999));
    assert_eq!(world.place(), Placement { decisions: vec![], wake: Some(due) });
    world.wait(Duration::from_millis(1));
    assert_eq!(world.decisions(), handover(1, Cause::Preempted));
}

#[test]
fn a_break_in_eligibility_starts_the_delay_anew() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].instance.preempt_delay_ms = 5000;
    world.held_by(2);
    world.place();
    world.wait(Duration::from_secs(4));
    world.report(1).interfaces_up.clear();
    world.place();
    world.report(1).interfaces_up.insert("eth0".to_owned());
    let due = world.now.after(Duration::from_secs(5));
    assert_eq!(world.place().wake, Some(due));
}

#[test]
fn a_priority_that_rises_starts_the_delay_anew_and_one_that_falls_does_not() {
    let mut world = World::of(&[100, 90]);
    world.groups[0].instance.preempt_delay_ms = 5000;
    world.held_by(2);
    world.report(1).priority_delta.insert("web".to_owned(), -20);
    assert_eq!(world.place(), Placement::default());
    world.wait(Duration::from_secs(60));
    world.report(1).priority_delta.clear();
    assert_eq!(world.place().wake, Some(world.now.after(Duration::from_secs(5))));
    world.wait(Duration::from_secs(5));
    world.report(1).priority_delta.insert("web".to_owned(), -5);
    assert_eq!(world.decisions(), handover(1, Cause::Preempted));
}

#[test]
fn a_pin_outranks_priority_while_its_node_is_eligible() {
    let mut world = World::of(&[100, 90, 80]);
    world.held_by(1);
    world.groups[0].pin = Some(NodeId(3));
    assert_eq!(world.decisions(), handover(3, Cause::Moved));
    world.held_by(3);
    assert_eq!(world.place(), Placement::default(), "pinned where it is");
    world.report(3).interfaces_up.clear();
    assert_eq!(world.decisions(), handover(1, Cause::Unserviceable));
    world.held_by(2);
    assert_eq!(world.decisions(), handover(1, Cause::Preempted), "the pin does not count");
}

#[test]
fn a_holder_that_should_not_go_on_hands_over_to_whoever_can() {
    type Spoil = fn(&mut World);
    let spoils: [(Spoil, Cause); 4] = [
        (|world| world.drain(1), Cause::Drained),
        (|world| world.report(1).stopping = true, Cause::Stopped),
        (|world| world.report(1).interfaces_up.clear(), Cause::Unserviceable),
        (
            |world| {
                world.report(1).unable.insert("web".to_owned(), "EPERM".to_owned());
            },
            Cause::Unserviceable,
        ),
    ];
    for (spoil, cause) in spoils {
        let mut world = World::of(&[100, 90, 0]);
        world.groups[0].instance.preempt = false;
        world.held_by(1);
        spoil(&mut world);
        assert_eq!(world.decisions(), handover(2, cause));
        world.silence(2);
        assert_eq!(world.decisions(), handover(3, cause), "a spare");
        world.silence(3);
        assert_eq!(world.decisions(), vec![], "nobody else: it stays");
    }
}

#[test]
fn a_handover_under_way_is_decided_again_only_when_its_target_is_lost() {
    let mut world = World::of(&[100, 90, 80]);
    world.held_by(1);
    world.drain(1);
    world.groups[0].handover = Some(NodeId(3));
    assert_eq!(world.decisions(), vec![]);
    world.silence(3);
    assert_eq!(world.decisions(), handover(2, Cause::Drained));
}

#[test]
fn a_director_that_joined_takes_its_share_one_at_a_time_and_late() {
    let mut world = World::empty(2);
    for name in ["a", "b", "c", "d"] {
        let group = world.add(name, &[100, 100]);
        group.holder = Some(NodeId(1));
        group.over = false;
    }
    let due = world.now.after(BALANCE_AFTER);
    assert_eq!(world.place(), Placement { decisions: vec![], wake: Some(due) });
    world.wait(BALANCE_AFTER);
    let first = world.decisions();
    assert_eq!(first, handover(2, Cause::Balanced));
    world.groups[0].handover = Some(NodeId(2));
    assert_eq!(world.decisions(), vec![], "one at a time");
    world.carry_out(&first);
    let second = world.decisions();
    assert_eq!(second.len(), 1);
    world.carry_out(&second);
    assert_eq!(world.place(), Placement::default(), "two and two");
}

#[test]
fn nothing_is_balanced_while_something_is_decided() {
    let mut world = World::empty(2);
    for name in ["a", "b", "c", "d"] {
        let group = world.add(name, &[100, 100]);
        group.holder = Some(NodeId(1));
        group.over = name == "a";
    }
    world.place();
    world.wait(BALANCE_AFTER);
    assert_eq!(world.decisions(), grant(1, Cause::Expired));
}

#[test]
fn groups_without_preempt_are_not_balanced() {
    let mut world = World::empty(2);
    for name in ["a", "b", "c", "d"] {
        let group = world.add(name, &[100, 100]);
        group.instance.preempt = false;
        group.holder = Some(NodeId(1));
        group.over = false;
    }
    world.place();
    world.wait(BALANCE_AFTER);
    assert_eq!(world.place(), Placement::default());
}

#[test]
fn the_successor_is_whoever_was_asked_for_else_the_best_other() {
    let mut world = World::of(&[100, 90, 80]);
    world.held_by(1);
    assert_eq!(world.successor(1), Some(NodeId(2)));
    world.groups[0].handover = Some(NodeId(3));
    assert_eq!(world.successor(1), Some(NodeId(3)));
    world.silence(3);
    assert_eq!(world.successor(1), Some(NodeId(2)));
    world.silence(2);
    assert_eq!(world.successor(1), None);
}

#[test]
fn one_that_can_not_serve_all_of_it_holds_it_only_where_nobody_does_better() {
    let mut world = World::of(&[100, 90, 80]);
    world.held_by(1);
    world.groups[0].instance.preempt = false;
    assert_eq!(world.place(), Placement::default());
    world.report(1).impaired.insert("web".to_owned(), "no scheduler twos".to_owned());
    let moved = world.place().decisions;
    let to = NodeId(2);
    let [Decision::Handover { to: is, cause, .. }] = moved[..] else { panic!("{moved:?}") };
    assert_eq!((is, cause), (to, Cause::Unserviceable));
    world.carry_out(&moved);
    assert!(world.explain().contains("can't serve all of it: no scheduler twos"));
    world.groups[0].instance.preempt = true;
    assert_eq!(world.place(), Placement::default(), "ds1's priority is no reason to go back");
    world.report(2).impaired.insert("web".to_owned(), "no scheduler twos".to_owned());
    world.report(3).impaired.insert("web".to_owned(), "no scheduler twos".to_owned());
    let moved = world.place().decisions;
    assert_eq!(moved.len(), 1, "where all are, priority counts again");
    assert_eq!(moved[0].to(), NodeId(1));
}

#[test]
fn an_explanation_names_every_member_and_what_comes_next() {
    let mut world = World::of(&[100, 90, 80]);
    world.held_by(2);
    world.groups[0].cause = Cause::Expired;
    world.groups[0].instance.preempt_delay_ms = 30_000;
    world.place();
    world.wait(Duration::from_secs(10));
    world.report(3).interfaces_up.clear();
    world.report(2).priority_delta.insert("web".to_owned(), -20);
    world.place();
    assert_eq!(
        world.explain(),
        "\
web is held by ds2, for 3 min
  why:  the lease of the holder before expired
  ds1  priority 100, eligible for 10 s
  ds2  priority 70 (90-20 by tracking), holds it, eligible for 10 s
  ds3  priority 80, not eligible: interface eth0 is down or missing
  next: ds1, of priority 100, takes it in 20 s
  next: if ds2 fails, ds1 takes over
"
    );
}

#[test]
fn an_explanation_says_that_nobody_can() {
    let mut world = World::of(&[100, 90]);
    world.held_by(1);
    world.silence(1);
    world.drain(2);
    world.place();
    assert_eq!(
        world.explain(),
        "\
web is held by ds1, for 3 min
  why:  the instance was created
  ds1  priority 100, holds it, not eligible: not heard for a whole ttl
  ds2  priority 90, not eligible: drained
  next: the lease of ds1 runs out unless it is heard, and then nobody has it: no other director \
is eligible
"
    );
}
