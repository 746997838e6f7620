//! The operator's word over checks over the configuration.

use super::*;

#[test]
fn one_that_is_drained_keeps_its_entry_and_gets_nothing() {
    let mut world = World::new(four());
    world.say(0, Some(Override::Drain));
    assert_eq!(world.stands(0), Standing::Drained);
    assert_eq!(world.table(), [(1, 0), (2, 1), (3, 1), (4, 1)]);
    world.weigh(0, &[Effect::Set(50)]);
    assert_eq!(world.table()[0], (1, 0), "whatever its checks ask for");
    world.down(0);
    assert_eq!(world.table(), [(2, 1), (3, 1), (4, 1)], "dead is dead");
    world.up(0);
    world.say(0, None);
    assert_eq!(world.table(), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

#[test]
fn one_that_is_disabled_goes_as_one_that_failed() {
    let mut config = four();
    config.virtual_servers[0].real_servers[1].inhibit_on_failure = true;
    let mut world = World::new(config);
    world.say(0, Some(Override::Disable));
    world.say(1, Some(Override::Disable));
    assert_eq!(world.table(), [(2, 0), (3, 1), (4, 1)]);
    world.up(0);
    assert_eq!(world.stands(0), Standing::Disabled, "whatever its checks say");
    let table = desired(&world.config, &groups(), &open(&[1]), &world.health, &world.overrides);
    let service = table.values().next().expect("it is served");
    assert_eq!(service.failed, [at("10.1.0.1:80")], "it goes at once");
}

#[test]
fn a_weight_takes_the_place_of_every_other() {
    let mut world = World::new(four());
    world.weigh(0, &[Effect::Set(50), Effect::Add(3)]);
    world.say(0, Some(Override::Weight(7)));
    assert_eq!(world.effective(0), Effective { standing: Standing::Up, weight: 7 });
    world.down(0);
    assert_eq!(world.table(), [(2, 1), (3, 1), (4, 1)], "it raises nobody");
}

#[test]
fn a_quorum_counts_what_operators_leave() {
    for (said, quorum) in [
        (Override::Drain, false),
        (Override::Disable, false),
        (Override::Weight(0), false),
        (Override::Weight(1), true),
    ] {
        let mut config = four();
        config.virtual_servers[0].quorum = 4;
        let mut world = World::new(config);
        world.say(0, Some(said));
        assert_eq!(world.quorum(), quorum, "{said}");
        world.say(0, None);
        assert!(world.quorum());
    }
    let mut config = four();
    config.virtual_servers[0].quorum = 4;
    let mut world = World::new(config);
    world.say(0, Some(Override::Weight(3)));
    world.down(1);
    world.down(2);
    assert!(world.quorum(), "3 and 1");
}

/// To drain the only one there is must not cut its connections off.
#[test]
fn one_that_is_drained_stays_beside_the_sorry_server() {
    let mut config = four();
    config.virtual_servers[0].real_servers.truncate(1);
    config.virtual_servers[0].sorry_server = sorry(false);
    let mut world = World::new(config);
    world.say(0, Some(Override::Drain));
    assert_eq!(world.table(), [(1, 0), (9, 1)]);
    world.down(0);
    assert_eq!(world.table(), [(9, 1)]);
}

/// The same address behind another virtual server is another real server.
#[test]
fn a_word_is_for_one_virtual_server() {
    let mut config = four();
    config.virtual_servers.push(server("10.0.0.1:443", &["10.1.0.1:80"]));
    let mut world = World::new(config);
    world.say(0, Some(Override::Disable));
    let other = &world.config.virtual_servers[1];
    let effective = world.health.effective(other, &other.real_servers[0], &world.overrides);
    assert_eq!(effective.standing, Standing::Up);
    assert_eq!(world.overrides.keys().collect::<Vec<_>>(), [&name("10.1.0.1:80")]);
}

/// The kernel's table follows an override that the quorum has not been counted by yet.
#[test]
fn a_word_counts_in_the_table_before_the_quorum_is_counted() {
    let mut world = World::new(four());
    world.overrides.insert(name("10.1.0.2:80"), Override::Disable);
    assert_eq!(world.table(), [(1, 1), (3, 1), (4, 1)]);
    world.down(0);
    world.health.handle_overrides(&world.config, &world.overrides);
    let fresh = {
        let mut fresh = World::new(four());
        fresh.overrides = world.overrides.clone();
        fresh.health.handle_overrides(&fresh.config, &fresh.overrides);
        fresh.down(0);
        fresh.health
    };
    assert_eq!(world.health, fresh, "whichever came first");
}

#[test]
fn a_quorum_that_turns_alone_is_something_new() {
    let mut config = four();
    config.virtual_servers[0].quorum = 4;
    let mut world = World::new(config);
    world.overrides.insert(name("10.1.0.1:80"), Override::Drain);
    assert!(world.quorum(), "not counted yet");
    assert!(world.up(0), "it stood drained before, too");
    assert!(!world.quorum());
    assert!(!world.up(0));
}

#[test]
fn every_standing_is_up_or_not_and_has_a_word() {
    let up: Vec<_> = Standing::ALL.into_iter().filter(|one| one.is_up()).collect();
    assert_eq!(up, [Standing::Up, Standing::Drained]);
    let words: BTreeSet<_> = Standing::ALL.into_iter().map(Standing::word).collect();
    assert_eq!(words.len(), Standing::ALL.len());
}
