//! A real server that leaves the configuration finishes its connections.

use super::*;

const SERVICE: &str = "-t 10.0.0.1:80";

fn wanted(real: &[&str]) -> Table {
    table(&config(vec![server("10.0.0.1:80", real)]), &[1])
}

fn loaded() -> Kernel {
    let mut kernel = Kernel::default();
    kernel.converge(&wanted(&["10.1.0.1:80", "10.1.0.2:80"]), &BTreeSet::new());
    kernel
}

/// What is sent at each instant, carried out.
fn pass(kernel: &mut Kernel, drains: &mut Drains, now: u64) -> Vec<Op> {
    let wanted = wanted(&["10.1.0.2:80"]);
    let ops = diff(&wanted, &kernel.services, &BTreeSet::new(), drains, seconds(now), DRAIN);
    kernel.carry_out(&ops);
    ops
}

fn weight(ops: &[Op]) -> Option<u32> {
    match ops {
        [Op::Server(Put::Changed, _, server)] => Some(server.weight),
        _ => None,
    }
}

fn removes(ops: &[Op]) -> bool {
    matches!(ops, [Op::RemoveServer(_, address)] if *address == at("10.1.0.1:80"))
}

#[test]
fn an_unused_one_goes_at_once() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    assert!(removes(&pass(&mut kernel, &mut drains, 1)));
    assert!(drains.is_empty());
}

#[test]
fn one_in_use_takes_nothing_new_and_goes_when_it_is_done() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    kernel.load(SERVICE, "10.1.0.1:80", 2, 0);
    assert_eq!(weight(&pass(&mut kernel, &mut drains, 10)), Some(0));
    assert!(!drains.is_empty());
    assert_eq!(pass(&mut kernel, &mut drains, 20), []);
    kernel.load(SERVICE, "10.1.0.1:80", 0, 2);
    assert!(removes(&pass(&mut kernel, &mut drains, 21)));
    assert!(drains.is_empty());
}

#[test]
fn a_connection_that_is_being_opened_is_waited_for() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    kernel.load(SERVICE, "10.1.0.1:80", 0, 1);
    assert_eq!(weight(&pass(&mut kernel, &mut drains, 10)), Some(0));
    assert_eq!(pass(&mut kernel, &mut drains, 12), []);
    assert!(removes(&pass(&mut kernel, &mut drains, 13)));
}

#[test]
fn it_has_so_long_and_no_longer() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    kernel.load(SERVICE, "10.1.0.1:80", 1, 0);
    pass(&mut kernel, &mut drains, 10);
    assert_eq!(pass(&mut kernel, &mut drains, 69), []);
    assert!(removes(&pass(&mut kernel, &mut drains, 70)));
}

#[test]
fn one_that_comes_back_meanwhile_has_its_weight_again() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    kernel.load(SERVICE, "10.1.0.1:80", 1, 0);
    pass(&mut kernel, &mut drains, 10);
    let both = wanted(&["10.1.0.1:80", "10.1.0.2:80"]);
    let none = BTreeSet::new();
    let ops = diff(&both, &kernel.services, &none, &mut drains, seconds(20), DRAIN);
    assert_eq!(weight(&ops), Some(1));
    assert!(drains.is_empty());
}

#[test]
fn one_that_failed_is_not_waited_for() {
    let (mut kernel, mut drains) = (loaded(), Drains::default());
    kernel.load(SERVICE, "10.1.0.1:80", 9, 9);
    let mut wanted = wanted(&["10.1.0.2:80"]);
    wanted.get_mut(&key(SERVICE)).expect("a service").failed.push(at("10.1.0.1:80"));
    let none = BTreeSet::new();
    let ops = diff(&wanted, &kernel.services, &none, &mut drains, seconds(1), DRAIN);
    assert!(removes(&ops));
}
