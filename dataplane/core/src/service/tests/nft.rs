//! The ruleset that stands in for IPVS.

use std::collections::BTreeMap;

use super::*;
use crate::service::{Unservable, refused, ruleset, unservable};

fn nat(real: &[(&str, u16)]) -> Table {
    let mut one = server("10.0.0.1:80", &[]);
    one.lb_kind = Forward::Nat;
    one.real_servers = real
        .iter()
        .map(|(address, weight)| RealServer { weight: *weight, ..RealServer::new(at(address)) })
        .collect();
    table(&config(vec![one]), &[1])
}

/// How often each server's chain stands in the choice, in its order.
fn dealt(text: &str) -> Vec<String> {
    let choice = text.lines().find(|line| line.contains("numgen inc")).expect("a choice");
    choice.split("goto s0-").skip(1).map(|rest| rest[..1].to_owned()).collect()
}

#[test]
fn weights_are_dealt_out_evenly() {
    let text = ruleset("t", &nat(&[("10.1.0.1:80", 30), ("10.1.0.2:80", 10), ("10.1.0.3:80", 10)]));
    assert!(text.contains("numgen inc mod 5"), "{text}");
    assert_eq!(dealt(&text).concat(), "01020");
    let counts = dealt(&text).iter().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one.clone()).or_insert(0) += 1;
        counts
    });
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [3, 1, 1]);
}

#[test]
fn great_weights_are_drawn_by_lot() {
    let text = ruleset("t", &nat(&[("10.1.0.1:80", 1999), ("10.1.0.2:80", 1)]));
    let choice = "numgen random mod 2000 vmap { 0-1998 : goto s0-0, 1999 : goto s0-1 }";
    assert!(text.contains(choice), "{text}");
}

#[test]
fn a_server_that_takes_nothing_has_no_part() {
    let text = ruleset("t", &nat(&[("10.1.0.1:80", 0), ("10.1.0.2:80", 7)]));
    assert!(text.contains("dnat ip to 10.1.0.2:80") && !text.contains("10.1.0.1"), "{text}");
    let none = ruleset("t", &nat(&[("10.1.0.1:80", 0)]));
    assert!(!none.contains("10.0.0.1"), "this machine refuses: {none}");
}

#[test]
fn nothing_to_serve_is_no_table() {
    assert_eq!(ruleset("t", &Table::new()), "add table inet t\ndelete table inet t\n");
}

#[test]
fn what_it_can_not_serve_is_named_and_left_out() {
    let mut table = nat(&[("10.1.0.1:80", 1)]);
    let of = |table: &Table| table.iter().find_map(|(key, one)| unservable(key, one));
    assert_eq!(of(&table), None);
    let service = table.get_mut(&key("-t 10.0.0.1:80")).expect("a service");
    service.settings.scheduler = "lc".to_owned();
    assert_eq!(of(&table), Some(Unservable::Scheduler));
    assert_eq!(ruleset("t", &table), "add table inet t\ndelete table inet t\n");
    let service = table.get_mut(&key("-t 10.0.0.1:80")).expect("a service");
    service.settings.scheduler = "rr".to_owned();
    service.servers[0].forward = Forward::Dr;
    assert_eq!(of(&table), Some(Unservable::Forward));
}

fn many(count: u16) -> Table {
    let one = nat(&[("10.1.0.1:80", 1)]).into_values().next().expect("a service");
    (1..=count).map(|port| (key(&format!("-t 10.0.0.1:{port}")), one.clone())).collect()
}

/// What is refused of a thousand services of which `bad` are, and how often was asked.
fn found(bad: &[u16], tries: usize) -> (Vec<Key>, usize) {
    let bad: Vec<Key> = bad.iter().map(|port| key(&format!("-t 10.0.0.1:{port}"))).collect();
    let mut asked = 0;
    let refused = refused(&many(1000), tries, |table| {
        asked += 1;
        let first = bad.iter().find(|key| table.contains_key(key));
        Ok::<_, ()>(first.map(ToString::to_string))
    });
    let refused = refused.expect("it always says");
    if tries > 100 {
        assert!(refused.iter().all(|(key, why)| *why == key.to_string()), "{refused:?}");
    }
    (refused.into_keys().collect(), asked)
}

#[test]
fn a_refused_service_is_found_among_a_thousand() {
    for bad in [&[][..], &[1], &[1000], &[500], &[1, 2, 1000], &[7, 400, 401, 999]] {
        let keys: Vec<Key> = bad.iter().map(|port| key(&format!("-t 10.0.0.1:{port}"))).collect();
        let (found, asked) = found(bad, 1000);
        assert_eq!(found, keys);
        assert!(asked <= 11 * (bad.len() + 1), "{asked} questions for {bad:?}");
    }
}

#[test]
fn where_too_much_is_refused_the_questions_end() {
    let every_tenth: Vec<u16> = (1..=100).map(|one| one * 10).collect();
    let (found, asked) = found(&every_tenth, 32);
    assert_eq!(asked, 32);
    assert!(every_tenth.iter().all(|port| found.contains(&key(&format!("-t 10.0.0.1:{port}")))));
    assert!(!found.contains(&key("-t 10.0.0.1:1")), "what was found good is served");
}
