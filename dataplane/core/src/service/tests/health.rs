//! Verdicts and quorums.

use super::*;
use crate::service::Verdict;
use leasehold_model::{Check, CheckKind};

fn four() -> (Config, Vec<SocketAddr>) {
    let real = ["10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80", "10.1.0.4:80"];
    (config(vec![server("10.0.0.1:80", &real)]), real.map(at).to_vec())
}

#[test]
fn a_quorum_is_lost_below_and_gained_above() {
    let (mut config, real) = four();
    config.virtual_servers[0].quorum = 2;
    config.virtual_servers[0].hysteresis = 1;
    let server = &config.virtual_servers[0];
    let mut health = Health::default();
    health.handle_config(&config);
    let mut has = |index: usize, verdict| {
        health.handle_verdict(server, real[index], verdict);
        health.has_quorum(server)
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
    let (mut config, real) = four();
    config.virtual_servers[0].quorum = 100;
    let server = &config.virtual_servers[0];
    let mut health = Health::default();
    health.handle_config(&config);
    assert!(health.has_quorum(server));
    health.handle_verdict(server, real[0], Verdict::Down);
    assert!(!health.has_quorum(server));
}

#[test]
fn weights_of_nothing_are_no_quorum() {
    let (mut config, _) = four();
    config.virtual_servers[0].real_servers.iter_mut().for_each(|one| one.weight = 0);
    let mut health = Health::default();
    health.handle_config(&config);
    assert!(!health.has_quorum(&config.virtual_servers[0]));
}

#[test]
fn alpha_is_down_until_a_check_has_passed() {
    let (mut config, real) = four();
    let check = Check {
        kind: CheckKind::Tcp,
        connect: None,
        delay_loop_ms: 1000,
        connect_timeout_ms: 1000,
        retry: 1,
        delay_before_retry_ms: 1000,
    };
    config.virtual_servers[0].alpha = true;
    config.virtual_servers[0].real_servers[0].checks.push(check);
    let server = &config.virtual_servers[0];
    let mut health = Health::default();
    health.handle_config(&config);
    assert!(!health.is_up(server, &server.real_servers[0]));
    assert!(health.is_up(server, &server.real_servers[1]), "never checked");
    assert!(health.handle_verdict(server, real[0], Verdict::Up));
    assert!(!health.handle_verdict(server, real[0], Verdict::Up), "nothing new");
    assert!(health.is_up(server, &server.real_servers[0]));
}

#[test]
fn what_left_the_configuration_is_forgotten() {
    let (mut config, real) = four();
    let mut health = Health::default();
    health.handle_config(&config);
    health.handle_verdict(&config.virtual_servers[0], real[0], Verdict::Down);
    let gone = config.virtual_servers[0].real_servers.remove(0);
    health.handle_config(&config);
    config.virtual_servers[0].real_servers.push(gone);
    health.handle_config(&config);
    let server = &config.virtual_servers[0];
    assert!(health.is_up(server, &server.real_servers[3]));
}
