//! Whatever is reported: decisions are sound, and they come to an end.

use std::time::Duration;

use leasehold_model::NodeId;
use proptest::prelude::*;

use super::super::*;
use super::world::{LEADER, World};

/// Anything that reports can say, and any state that a lease can be in.
fn any_world() -> impl Strategy<Value = World> {
    let member = (any::<bool>(), 0..8u8, 0..8u8, 0..8u8, -30..30i16, 0..4u8);
    let group = (
        prop::collection::vec(prop::sample::select(vec![0u8, 50, 100, 100, 100, 120, 255]), 4),
        0..6u64,
        0..4u8,
        0..9u64,
        any::<bool>(),
        prop::sample::select(vec![0u32, 1000, 20_000]),
        0..9u64,
    );
    let members = prop::collection::vec(member, 4);
    let groups = prop::collection::vec(group, 1..12);
    (members, groups).prop_map(|(members, groups)| {
        let mut world = World::empty(4);
        for (index, (priorities, holder, over, pin, preempt, delay, to)) in
            groups.into_iter().enumerate()
        {
            let group = world.add(&format!("g{index}"), &priorities);
            let node = |number: u64| (1..=4).contains(&number).then_some(NodeId(number));
            group.holder = node(holder);
            group.over = over == 0 || group.holder.is_none();
            group.pin = node(pin);
            group.handover = node(to).filter(|to| !group.over && Some(*to) != group.holder);
            group.instance.preempt = preempt;
            group.instance.preempt_delay_ms = delay;
        }
        let members = members.into_iter().enumerate();
        for (index, (tracked, silent, drained, down, delta, impaired)) in members {
            let node = index as u64 + 1;
            if impaired == 0 {
                world.report(node).impaired.insert("g0".to_owned(), "no IPVS".to_owned());
            }
            if tracked {
                world.report(node).priority_delta.insert("g0".to_owned(), delta);
            }
            if down == 0 {
                world.report(node).interfaces_up.clear();
            }
            if drained == 0 {
                world.drain(node);
            }
            if silent == 0 {
                world.silence(node);
            }
        }
        world
    })
}

proptest! {
    /// With reports that do not change, decisions that are carried out come to an end: within
    /// what the delays and a few moves of each group need, and then none is made, however long
    /// one waits.
    #[test]
    fn it_settles(mut world in any_world()) {
        let bound = 4 * world.groups.len() + 8;
        let mut rounds = 0;
        loop {
            let placement = world.place();
            let mut seen = std::collections::BTreeSet::new();
            for decision in &placement.decisions {
                prop_assert!(seen.insert(decision.group()), "two decisions for one group");
            }
            world.carry_out(&placement.decisions);
            match placement.wake {
                Some(wake) if placement.decisions.is_empty() => {
                    prop_assert!(wake > world.now, "woken for nothing");
                    world.now = wake;
                }
                None if placement.decisions.is_empty() => break,
                Some(_) | None => {}
            }
            rounds += 1;
            prop_assert!(rounds <= bound, "still deciding after {rounds} rounds");
        }
        world.wait(Duration::from_secs(100_000));
        prop_assert_eq!(world.place(), Placement::default());
    }

    /// Whoever gets a group may hold it, and is not who has it.
    #[test]
    fn only_the_eligible_are_chosen(mut world in any_world()) {
        world.place();
        world.wait(Duration::from_secs(30));
        let now = world.now;
        world.with(|placer, directors, slots| {
            for decision in placer.place(directors, slots, LEADER, now).decisions {
                let slot = slots.iter().find(|slot| slot.group == decision.group()).unwrap();
                let to = directors.iter().find(|one| one.node == decision.to()).unwrap();
                assert!(standing(to, slot).eligible());
                match decision {
                    Decision::Grant { .. } => assert!(slot.over),
                    Decision::Handover { to, .. } => {
                        assert!(!slot.over && slot.holder.is_some() && slot.holder != Some(to));
                    }
                }
            }
        });
    }

    /// The explanation's next step is the decision, and asking for it changes nothing.
    #[test]
    fn an_explanation_never_fails(mut world in any_world()) {
        world.place();
        let text = world.explain();
        prop_assert!(text.contains("next: "));
        prop_assert!(text.lines().count() >= 6);
    }
}
