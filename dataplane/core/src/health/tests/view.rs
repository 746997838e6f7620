//! Who is up, whether they are enough, and what the kernel has of it.

use super::*;

#[test]
fn a_quorum_is_lost_below_and_gained_above() {
    let mut config = four();
    config.virtual_servers[0].quorum = 2;
    config.virtual_servers[0].hysteresis = 1;
    let mut world = World::new(config);
    let mut has = |index, verdict: Verdict| {
        world.find(index, verdict);
        world.quorum()
    };
    assert!(has(0, Verdict::Down), "3 up");
    assert!(has(1, Verdict::Down), "2 up");
    assert!(has(2, Verdict::Down), "1 up: lost only below 2 - 1");
    assert!(!has(3, Verdict::Down), "none up");
    assert!(!has(3, Verdict::Up), "1 up");
    assert!(!has(2, Verdict::Up), "2 up: gained only at 2 + 1");
    assert!(has(1, Verdict::Up), "3 up");
}

#[test]
fn a_quorum_above_all_weights_is_all_of_them() {
    let mut config = four();
    config.virtual_servers[0].quorum = 100;
    let mut world = World::new(config);
    assert!(world.quorum());
    world.down(0);
    assert!(!world.quorum());
}

#[test]
fn a_hysteresis_is_less_than_the_quorum_and_can_be_overcome() {
    let mut config = four();
    config.virtual_servers[0].quorum = 3;
    config.virtual_servers[0].hysteresis = 100;
    let mut world = World::new(config);
    assert!(world.quorum(), "3 + 2 is more than there is: all is enough");
    for index in 0..3 {
        world.down(index);
        assert!(world.quorum(), "lost below 3 - 2");
    }
    world.down(3);
    assert!(!world.quorum());
    for index in 0..3 {
        world.up(index);
        assert!(!world.quorum());
    }
    world.up(3);
    assert!(world.quorum());
}

#[test]
fn weights_of_nothing_are_no_quorum() {
    let mut config = four();
    config.virtual_servers[0].real_servers.iter_mut().for_each(|one| one.weight = 0);
    assert!(!World::new(config).quorum());
}

/// Within the band it has its quorum if it had it, or if nobody knows.
#[test]
fn within_its_band_a_quorum_stays_what_it_was() {
    let mut config = four();
    let one = &mut config.virtual_servers[0];
    (one.quorum, one.hysteresis) = (2, 1);
    for real in &mut one.real_servers[..2] {
        real.alpha = true;
        real.checks.push(tcp());
    }
    let mut world = World::new(config);
    assert!(world.quorum(), "2 up, and it is lost below 1");
    let config = world.config.clone();
    world.health.handle_config(&config, &Findings::new(), &world.overrides, seconds(1));
    assert!(world.quorum(), "2 up, and it had it");
}

#[test]
fn a_virtual_server_that_nobody_told_of_has_its_quorum() {
    let config = four();
    assert!(Health::default().has_quorum(&config.virtual_servers[0]));
}

#[test]
fn alpha_is_down_until_a_check_has_passed() {
    let mut config = four();
    config.virtual_servers[0].alpha = true;
    config.virtual_servers[0].real_servers[0].checks.push(tcp());
    let mut world = World::new(config);
    assert_eq!(world.stands(0), Standing::Unproven);
    assert_eq!(world.stands(1), Standing::Up, "never checked");
    assert!(world.up(0));
    assert!(!world.up(0), "nothing new");
    assert_eq!(world.stands(0), Standing::Up);
}

#[test]
fn alpha_of_one_check_is_enough() {
    let mut config = four();
    let real = &mut config.virtual_servers[0].real_servers[0];
    real.checks = vec![tcp(), Check { alpha: true, ..tcp() }];
    let mut world = World::new(config);
    assert_eq!(world.stands(0), Standing::Unproven);
    let server = &world.config.virtual_servers[0];
    let real = &server.real_servers[0];
    assert!(!is_alpha(server, real, &real.checks[0]));
    assert!(is_alpha(server, real, &real.checks[1]));
    world.up(0);
    assert_eq!(world.stands(0), Standing::Up);
}

/// Another check takes the place of one that passed, or alpha is asked for later.
#[test]
fn one_that_was_up_has_proven_itself() {
    let mut config = four();
    let mut world = World::new(config.clone());
    world.down(1);
    config.virtual_servers[0].alpha = true;
    config.virtual_servers[0].real_servers[..2].iter_mut().for_each(|one| one.checks.push(tcp()));
    world.config = config.clone();
    world.health.handle_config(&config, &Findings::new(), &world.overrides, seconds(1));
    assert_eq!((world.stands(0), world.stands(1)), (Standing::Up, Standing::Unproven));
    world.down(0);
    assert_eq!(world.stands(0), Standing::Failed);
}

#[test]
fn a_first_answer_of_one_that_counts_as_up_changes_nothing() {
    let mut world = World::new(four());
    assert!(!world.up(0));
    assert!(world.down(0));
}

#[test]
fn without_its_check_a_real_server_is_up_again() {
    let mut world = World::new(four());
    world.down(0);
    let config = world.config.clone();
    world.health.handle_config(&config, &Findings::new(), &world.overrides, seconds(1));
    assert_eq!(world.stands(0), Standing::Up);
    assert_eq!(world.table().len(), 4);
}

#[test]
fn what_the_configuration_does_not_have_is_not_kept() {
    let mut world = World::new(four());
    let mut other = four();
    other.virtual_servers[0].real_servers.truncate(1);
    let server = &world.config.virtual_servers[0];
    let findings: Findings = server
        .real_servers
        .iter()
        .map(|one| ((server.key(), one.address), Verdict::Down.into()))
        .collect();
    world.health.handle_config(&other, &findings, &world.overrides, seconds(1));
    assert_eq!(world.health.servers[&world.server().key()].real.len(), 1);
    assert!(!world.down(1), "of one that is gone");
    assert_eq!(world.health.servers[&world.server().key()].real.len(), 1);
}

#[test]
fn a_quorum_counts_the_weights_that_checks_ask_for() {
    let mut config = four();
    config.virtual_servers[0].quorum = 4;
    let mut world = World::new(config);
    assert!(world.weigh(0, &[Effect::Set(0)]), "another weight is something new");
    assert!(!world.quorum());
    assert_eq!(world.effective(0), Effective { standing: Standing::Up, weight: 0 });
    assert!(world.weigh(0, &[Effect::Set(1)]));
    assert!(world.quorum());
    world.weigh(0, &[Effect::Add(2)]);
    world.down(1);
    world.down(2);
    assert!(world.quorum(), "3 and 1");
    assert_eq!(world.table(), [(1, 3), (4, 1)]);
}

#[test]
fn one_that_fails_leaves_or_stays_with_nothing() {
    let mut config = four();
    config.virtual_servers[0].real_servers.truncate(2);
    let mut world = World::new(config.clone());
    world.down(0);
    assert_eq!(world.table(), [(2, 1)]);
    config.virtual_servers[0].real_servers[0].inhibit_on_failure = true;
    let mut world = World::new(config.clone());
    world.down(0);
    assert_eq!(world.table(), [(1, 0), (2, 1)]);
    config.virtual_servers[0].inhibit_on_failure = true;
    let mut world = World::new(config);
    world.down(1);
    assert_eq!(world.table(), [(1, 1), (2, 0)]);
}

/// keepalived replaces all real servers, and inhibits those that it would inhibit.
#[test]
fn the_sorry_server_takes_the_place_of_those_that_are_up() {
    let mut config = four();
    let one = &mut config.virtual_servers[0];
    (one.quorum, one.sorry_server) = (3, sorry(false));
    one.real_servers[2].inhibit_on_failure = true;
    let mut world = World::new(config);
    world.down(0);
    assert_eq!(world.table(), [(2, 1), (3, 1), (4, 1)]);
    world.down(1);
    assert_eq!(world.table(), [(3, 0), (9, 1)]);
    world.up(0);
    assert_eq!(world.table(), [(1, 1), (3, 1), (4, 1)]);
}

#[test]
fn without_a_sorry_server_those_that_are_up_serve_without_a_quorum() {
    let mut config = four();
    config.virtual_servers[0].quorum = 3;
    let mut world = World::new(config);
    for index in 0..3 {
        world.down(index);
    }
    assert!(!world.quorum());
    assert_eq!(world.table(), [(4, 1)]);
}

#[test]
fn a_sorry_server_that_is_inhibited_waits_with_nothing() {
    let mut config = four();
    let one = &mut config.virtual_servers[0];
    one.real_servers.truncate(1);
    one.sorry_server = sorry(true);
    let mut world = World::new(config.clone());
    assert_eq!(world.table(), [(1, 1), (9, 0)]);
    world.down(0);
    assert_eq!(world.table(), [(9, 1)]);
    // One that is a real server too has one entry.
    config.virtual_servers[0].real_servers.push(RealServer::new(at("10.1.0.9:80")));
    let mut world = World::new(config);
    assert_eq!(world.table(), [(1, 1), (9, 1)]);
    world.down(0);
    world.down(1);
    assert_eq!(world.table(), [(9, 1)]);
}

#[test]
fn one_that_came_and_went_too_often_is_held_and_let_go() {
    let mut config = four();
    config.virtual_servers[0].damping = damping(1);
    let mut world = World::new(config);
    for (at, index) in [(1, 0), (5, 0), (6, 1)] {
        world.now = seconds(at);
        world.down(index);
        world.up(index);
    }
    assert_eq!((world.stands(0), world.stands(1)), (Standing::Held, Standing::Up));
    assert_eq!(world.table(), [(2, 1), (3, 1), (4, 1)]);
    assert_eq!(world.health.poll_timeout(), Some(seconds(35)));
    let World { config, health, overrides, .. } = &mut world;
    assert_eq!(health.handle_timeout(config, overrides, seconds(34)), BTreeSet::new());
    let name = config.virtual_servers[0].key();
    assert_eq!(health.handle_timeout(config, overrides, seconds(35)), [name].into());
    assert_eq!(world.stands(0), Standing::Up);
    assert_eq!(world.health.poll_timeout(), None);
    assert!(world.health.holds.is_empty());
}

#[test]
fn one_that_is_held_counts_for_no_quorum() {
    let mut config = four();
    (config.virtual_servers[0].damping, config.virtual_servers[0].quorum) = (damping(1), 4);
    let mut world = World::new(config);
    for at in [1, 2] {
        world.now = seconds(at);
        world.down(0);
        world.up(0);
    }
    assert!(!world.quorum());
    let World { config, health, overrides, .. } = &mut world;
    health.handle_timeout(config, overrides, seconds(32));
    assert!(world.quorum());
}

#[test]
fn a_hold_outlasts_another_configuration_and_ends_with_its_damping() {
    let mut config = four();
    config.virtual_servers[0].damping = damping(1);
    let mut world = World::new(config.clone());
    for at in [1, 2] {
        world.now = seconds(at);
        world.down(0);
        world.up(0);
    }
    let overrides = Overrides::new();
    world.health.handle_config(&config, &Findings::new(), &overrides, seconds(3));
    assert_eq!(world.stands(0), Standing::Held);
    assert_eq!(world.health.poll_timeout(), Some(seconds(32)));
    config.virtual_servers[0].damping = None;
    world.health.handle_config(&config, &Findings::new(), &overrides, seconds(4));
    assert_eq!(world.stands(0), Standing::Up);
    assert_eq!(world.health.poll_timeout(), None);
}
