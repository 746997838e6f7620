//! What operators say of real servers, and how it is written.

use std::sync::Arc;

use leasehold_model::{
    Family, Fwmark, Override, Protocol, RealName, RealServer, Service, VirtualServer,
};

use super::*;

fn server(service: Service, protocol: Protocol, real: &[&str]) -> VirtualServer {
    let mut server = VirtualServer::new(service, protocol);
    server.real_servers = real.iter().map(|at| RealServer::new(at.parse().unwrap())).collect();
    server
}

fn web(real: &[&str]) -> VirtualServer {
    let at = "192.0.2.1:80".parse().unwrap();
    server(Service::Address(at), Protocol::Tcp, real)
}

fn name(server: &VirtualServer, real: &str) -> RealName {
    RealName::new(server, real.parse().unwrap())
}

impl Log {
    fn serve(&mut self, servers: &[VirtualServer]) {
        let mut config = config(&[("a-web", &["192.0.2.1"])]);
        config.virtual_servers = servers.to_vec();
        assert!(matches!(self.set(config), Outcome::Applied { .. }));
    }

    fn say(&mut self, real_server: &RealName, word: Option<Override>) -> Outcome {
        self.apply(Command::Override { real_server: real_server.clone(), word })
    }

    fn said(&self) -> Vec<(String, Override)> {
        self.state.overrides.iter().map(|(name, word)| (name.to_string(), *word)).collect()
    }
}

const REAL: [&str; 2] = ["10.0.0.8:80", "10.0.0.9:80"];

/// Two virtual servers with the same two real servers, one of them said to drain in the first.
fn drained() -> (Log, VirtualServer, RealName) {
    let (mut log, _) = log();
    let (web, mark) = (web(&REAL), Service::Fwmark(Fwmark { mark: 7, family: Family::Inet }));
    log.serve(&[web.clone(), server(mark, Protocol::Udp, &REAL)]);
    let nine = name(&web, REAL[1]);
    assert_eq!(log.say(&nine, Some(Override::Drain)), Outcome::Done);
    (log, web, nine)
}

#[test]
fn the_last_word_counts_and_enabling_ends_it() {
    let (mut log, _, nine) = drained();
    let of_web = "10.0.0.9:80 of 192.0.2.1:80".to_owned();
    assert_eq!(log.said(), [(of_web.clone(), Override::Drain)], "in the one virtual server");
    assert_eq!(log.say(&nine, Some(Override::Weight(3))), Outcome::Done);
    assert_eq!(log.said(), [(of_web, Override::Weight(3))]);
    assert_eq!(log.say(&nine, None), Outcome::Done);
    assert_eq!(log.said(), []);
    assert_eq!(log.say(&nine, None), Outcome::Done, "there is nothing to end");
}

#[test]
fn of_what_the_configuration_lacks_nothing_is_said() {
    let (mut log, web, nine) = drained();
    let before = log.said();
    let gone = name(&web, "10.0.0.7:80");
    let other = RealName { protocol: Protocol::Udp, ..nine };
    for real in [gone, other] {
        for word in [Some(Override::Disable), None] {
            assert!(matches!(log.say(&real, word), Outcome::Refused(_)), "{real}");
        }
    }
    assert_eq!(log.said(), before);
}

#[test]
fn a_word_on_a_firewall_mark_is_found_whatever_its_protocol() {
    let (mut log, ..) = drained();
    let mark = log.state.config.virtual_servers[1].clone();
    assert_eq!(log.say(&name(&mark, REAL[0]), Some(Override::Disable)), Outcome::Done);
    log.serve(&[mark]);
    assert_eq!(log.said(), [("10.0.0.8:80 of fwmark 7".to_owned(), Override::Disable)]);
}

#[test]
fn it_stays_while_the_real_server_does_and_goes_for_good_with_it() {
    let (mut log, web, _) = drained();
    let mut heavier = web.clone();
    heavier.real_servers[1].weight = 100;
    heavier.real_servers.swap(0, 1);
    log.serve(&[heavier]);
    assert_eq!(log.said().len(), 1, "it is the same real server");
    log.serve(&[self::web(&REAL[..1])]);
    assert_eq!(log.said(), []);
    log.serve(&[web]);
    assert_eq!(log.said(), [], "another one of the same name");

    let (mut log, ..) = drained();
    log.serve(&[]);
    assert_eq!(log.said(), [], "the virtual server is gone");
}

#[test]
fn a_configuration_that_is_refused_takes_no_word_back() {
    let (mut log, ..) = drained();
    let config = Arc::new(config(&[]));
    let stale = Command::Apply { config, if_revision: Some(Revision(1)), note: None };
    assert!(matches!(log.apply(stale), Outcome::Conflict { .. }));
    assert_eq!(log.said().len(), 1);
}

#[test]
fn a_recovered_cluster_still_has_them() {
    let (log, ..) = drained();
    let recovered = log.state.clone().recovered(A, "new").unwrap();
    assert_eq!(recovered.overrides, log.state.overrides);
}

/// The forms that logs and snapshots on disk have. They must be read for ever.
#[test]
fn entries_and_snapshots_are_written_as_they_always_were() {
    let (log, _, nine) = drained();
    let entry = |word| {
        let command = Command::Override { real_server: nine.clone(), word };
        serde_json::to_string(&Entry { at_unix_ms: 5, command }).unwrap()
    };
    let real = r#"{"service":{"address":"192.0.2.1:80"},"protocol":"tcp","address":"10.0.0.9:80"}"#;
    let written = |word: &str| {
        format!(
            r#"{{"at_unix_ms":5,"command":{{"override":{{"real_server":{real},"word":{word}}}}}}}"#
        )
    };
    assert_eq!(entry(Some(Override::Drain)), written(r#""drain""#));
    assert_eq!(entry(Some(Override::Disable)), written(r#""disable""#));
    assert_eq!(entry(Some(Override::Weight(3))), written(r#"{"weight":3}"#));
    assert_eq!(entry(None), written("null"));
    let snapshot = serde_json::to_string(&log.state).unwrap();
    let overrides = format!(r#""overrides":[[{real},"drain"]]"#);
    assert!(snapshot.contains(&overrides), "{snapshot}");
    assert_eq!(serde_json::from_str::<State>(&snapshot).unwrap(), log.state);
}

/// As it was written before checks had more settings than these.
#[test]
fn a_check_of_an_earlier_version_is_read_and_written_alike() {
    let written = r#"{"kind":{"http":{"urls":[{"path":"/","status_code":[[200,200]]}]}},"delay_loop_ms":6000,"connect_timeout_ms":3000,"retry":3,"delay_before_retry_ms":3000}"#;
    let check: leasehold_model::Check = serde_json::from_str(written).unwrap();
    assert_eq!(serde_json::to_string(&check).unwrap(), written);
}

#[test]
fn a_snapshot_from_before_there_were_any_is_read_and_written_alike() {
    let (mut log, _, nine) = drained();
    log.say(&nine, None);
    let written = serde_json::to_string(&log.state).unwrap();
    assert!(!written.contains("overrides"), "{written}");
    assert_eq!(serde_json::from_str::<State>(&written).unwrap(), log.state);
}
