//! The rules of telling, one sentence each.

use std::collections::BTreeSet;

use leasehold_model::{Config, Eligibility, Instance, Notify, Script, SyncGroup};
use proptest::prelude::*;

use super::*;

fn member(name: &str) -> MemberFacts {
    MemberFacts { name: name.to_owned(), priority: 100, ..MemberFacts::default() }
}

fn unit(group: Option<&str>, members: &[&str]) -> UnitFacts {
    UnitFacts {
        group: group.map(|name| MemberFacts { priority: 0, ..member(name) }),
        members: members.iter().map(|name| member(name)).collect(),
        held: None,
    }
}

fn held(epoch: u64) -> Option<Held> {
    Some(Held { epoch: Epoch(epoch), cause: "moved by an operator".to_owned() })
}

/// One lone instance called `web`, and a notifier that has told of its beginning.
struct World {
    notifier: Notifier,
    facts: Facts,
}

impl World {
    fn of(units: Vec<UnitFacts>) -> Self {
        Self { notifier: Notifier::default(), facts: Facts { units, stopping: false } }
    }

    /// What is told of now, as a pipe's lines, each with its epoch.
    fn look(&mut self) -> Vec<String> {
        self.notifier.handle_facts(&self.facts);
        let told = std::iter::from_fn(|| self.notifier.poll_transition());
        told.map(|one| format!("{one} {}", one.epoch.0)).collect()
    }

    fn web(&mut self) -> &mut UnitFacts {
        &mut self.facts.units[0]
    }
}

fn begun() -> World {
    let mut world = World::of(vec![unit(None, &["web"])]);
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 0"]);
    world
}

fn fault(world: &mut World, why: &str) {
    world.web().members[0].fault = Some(why.to_owned());
}

#[test]
fn it_begins_as_backup_or_fault() {
    begun();
    let mut world = World::of(vec![unit(None, &["web"])]);
    fault(&mut world, "eth0 is down");
    assert_eq!(world.look(), ["INSTANCE \"web\" FAULT 100 0"]);
}

#[test]
fn also_one_that_is_held_at_the_first_look_begins_as_backup() {
    let mut world = World::of(vec![unit(None, &["web"])]);
    world.web().held = held(7);
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 0", "INSTANCE \"web\" MASTER 100 7"]);
}

#[test]
fn nothing_is_told_twice() {
    let mut world = begun();
    assert_eq!(world.look(), [""; 0]);
    world.web().held = held(7);
    assert_eq!(world.look(), ["INSTANCE \"web\" MASTER 100 7"]);
    assert_eq!(world.look(), [""; 0]);
    fault(&mut world, "eth0 is down");
    world.web().held = None;
    assert_eq!(world.look(), ["INSTANCE \"web\" FAULT 100 7"]);
    fault(&mut world, "another reason");
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn a_fault_that_has_not_released_the_lease_yet_is_not_told_yet() {
    let mut world = begun();
    world.web().held = held(7);
    world.look();
    fault(&mut world, "eth0 is down");
    assert_eq!(world.look(), [""; 0]);
    world.web().held = None;
    assert_eq!(world.look(), ["INSTANCE \"web\" FAULT 100 7"]);
    world.web().members[0].fault = None;
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 7"]);
}

#[test]
fn from_fault_the_way_to_master_leads_by_backup() {
    let mut world = World::of(vec![unit(None, &["web"])]);
    fault(&mut world, "eth0 is down");
    world.look();
    world.web().members[0].fault = None;
    world.web().held = held(9);
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 0", "INSTANCE \"web\" MASTER 100 9"]);
}

#[test]
fn another_epoch_is_another_mastership() {
    let mut world = begun();
    world.web().held = held(7);
    world.look();
    world.web().held = held(12);
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 7", "INSTANCE \"web\" MASTER 100 12"]);
}

#[test]
fn a_group_is_told_of_after_its_members_at_every_step() {
    let mut world = World::of(vec![unit(Some("G"), &["out", "in"])]);
    let each = |state: &str, epoch: u64| {
        ["INSTANCE \"out\"", "INSTANCE \"in\"", "GROUP \"G\""]
            .map(|who| {
                let priority = if who.starts_with('G') { 0 } else { 100 };
                format!("{who} {state} {priority} {epoch}")
            })
            .to_vec()
    };
    world.web().held = held(7);
    assert_eq!(world.look(), [each("BACKUP", 0), each("MASTER", 7)].concat());
    // One member's fault is everyone's.
    world.web().held = None;
    world.web().members[1].fault = Some("eth1 is down".to_owned());
    assert_eq!(world.look(), each("FAULT", 7));
    world.facts.stopping = true;
    assert_eq!(world.look(), each("STOP", 7));
}

#[test]
fn stop_comes_once_the_lease_is_closed_and_nothing_comes_after_it() {
    let mut world = begun();
    world.web().held = held(7);
    world.look();
    world.facts.stopping = true;
    assert_eq!(world.look(), [""; 0], "the lease is open still");
    assert!(!world.notifier.is_stopped());
    world.web().held = None;
    fault(&mut world, "eth0 is down");
    assert_eq!(world.look(), ["INSTANCE \"web\" STOP 100 7"]);
    assert!(world.notifier.is_stopped());
    world.web().held = held(8);
    assert_eq!(world.look(), [""; 0]);
    world.notifier.handle_lower_advert("web");
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn deletion_is_told_as_such_only_where_somebody_waits_for_it() {
    let mut world = World::of(vec![unit(Some("G"), &["a", "b"]), unit(None, &["c"])]);
    world.web().members[0].tells_deletion = true;
    world.look();
    world.facts.units.remove(0);
    let told =
        ["INSTANCE \"a\" DELETED 100 0", "INSTANCE \"b\" FAULT 100 0", "GROUP \"G\" FAULT 0 0"];
    assert_eq!(world.look(), told);
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn deletion_is_told_after_a_fault_too_where_somebody_waits_for_it() {
    let mut world = World::of(vec![unit(None, &["a"]), unit(None, &["b"])]);
    for (unit, tells) in world.facts.units.iter_mut().zip([true, false]) {
        unit.members[0].tells_deletion = tells;
        unit.members[0].fault = Some("a script failed".to_owned());
    }
    world.look();
    world.facts.units.clear();
    assert_eq!(world.look(), ["INSTANCE \"a\" DELETED 100 0"]);
}

#[test]
fn one_that_comes_back_begins_anew() {
    let mut world = begun();
    let unit = world.facts.units.remove(0);
    world.look();
    world.facts.units.push(unit);
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP 100 0"]);
}

#[test]
fn an_instance_that_joins_a_group_is_told_of_only_where_its_state_changes() {
    let mut world = World::of(vec![unit(None, &["a"]), unit(None, &["b"])]);
    world.facts.units[0].held = held(3);
    world.look();
    world.facts.units = vec![unit(Some("G"), &["a", "b"])];
    assert_eq!(world.look(), ["INSTANCE \"a\" BACKUP 100 3", "GROUP \"G\" BACKUP 0 0"]);
}

#[test]
fn priorities_are_told_where_asked_for_and_no_state_says_them() {
    let mut world = begun();
    world.web().members[0].priority = 90;
    assert_eq!(world.look(), [""; 0]);
    world.web().members[0].tells_priority = true;
    world.web().members[0].priority = 80;
    assert_eq!(world.look(), ["INSTANCE \"web\" BACKUP_PRIORITY 80 0"]);
    world.web().held = held(7);
    world.web().members[0].priority = 120;
    assert_eq!(world.look(), ["INSTANCE \"web\" MASTER 120 7"]);
    world.web().members[0].priority = 110;
    assert_eq!(world.look(), ["INSTANCE \"web\" MASTER_PRIORITY 110 7"]);
    world.web().held = None;
    fault(&mut world, "eth0 is down");
    world.look();
    world.web().members[0].priority = 1;
    assert_eq!(world.look(), [""; 0]);
}

#[test]
fn a_lower_advert_is_told_while_it_is_held() {
    let mut world = begun();
    world.notifier.handle_lower_advert("web");
    world.notifier.handle_lower_advert("unheard of");
    assert_eq!(world.look(), [""; 0]);
    world.web().held = held(7);
    world.look();
    world.notifier.handle_lower_advert("web");
    assert_eq!(world.look(), ["INSTANCE \"web\" MASTER_RX_LOWER_PRI 100 7"]);
}

#[test]
fn every_transition_says_why() {
    let mut world = World::of(vec![unit(None, &["web"])]);
    world.web().held = held(7);
    world.notifier.handle_facts(&world.facts);
    world.web().held = None;
    world.notifier.handle_facts(&world.facts);
    fault(&mut world, "interface eth0 is down or missing");
    world.notifier.handle_facts(&world.facts);
    let causes: Vec<_> = std::iter::from_fn(|| world.notifier.poll_transition())
        .map(|one| format!("{}: {}", one.state.word(), one.cause))
        .collect();
    assert_eq!(
        causes,
        [
            "BACKUP: this director began",
            "MASTER: moved by an operator",
            "BACKUP: the lease is not held here",
            "FAULT: interface eth0 is down or missing",
        ]
    );
}

fn synced() -> Config {
    let script = Script { command: "/bin/gone".to_owned(), user: None, group: None };
    let mut config = Config::default();
    let mut out = Instance::new(1, "eth0");
    out.priority = Some(100);
    out.notify = Notify { notify_deleted: Some(script), ..Notify::default() };
    let mut inside = Instance::new(2, "eth1");
    inside.priority = Some(90);
    inside.notify.notify_priority_changes = Some(true);
    config.instances.insert("out".to_owned(), out);
    config.instances.insert("in".to_owned(), inside);
    let members = vec!["out".to_owned(), "in".to_owned()];
    config.sync_groups.insert("G".to_owned(), SyncGroup { members, ..SyncGroup::default() });
    config
}

#[test]
fn facts_are_those_of_the_configuration_and_of_this_director() {
    let mut report = Eligibility {
        interfaces_up: BTreeSet::from(["eth0".to_owned()]),
        ..Eligibility::default()
    };
    report.priority_delta.insert("in".to_owned(), -20);
    let facts =
        Facts::gather(&synced(), "ds1", &report, |name| (name == "out").then(|| held(4)).flatten());
    let [unit] = &facts.units[..] else { panic!("one lease, one unit: {facts:?}") };
    assert_eq!(unit.held, held(4));
    assert_eq!(unit.group, Some(MemberFacts { name: "G".to_owned(), ..MemberFacts::default() }));
    let out = MemberFacts {
        name: "out".to_owned(),
        priority: 100,
        tells_deletion: true,
        ..MemberFacts::default()
    };
    assert_eq!(unit.members[0], out);
    let inside = &unit.members[1];
    assert_eq!((inside.priority, inside.tells_priority), (70, true));
    assert_eq!(inside.fault.as_deref(), Some("interface eth1 is down or missing"));
}

#[test]
fn what_a_director_has_of_its_own_counts_there() {
    let mut config = synced();
    let own = config.instances["out"].notify.clone();
    let inside = config.instances.get_mut("in").expect("it is there");
    inside.directors.entry("ds1".to_owned()).or_default().notify = own;
    for (director, tells) in [("ds1", true), ("ds2", false)] {
        let facts = Facts::gather(&config, director, &Eligibility::default(), |_| None);
        assert_eq!(facts.units[0].members[1].tells_deletion, tells, "{director}");
    }
}

#[test]
fn what_somebody_wishes_is_no_fault() {
    let mut report = Eligibility { stopping: true, ..Eligibility::default() };
    report.interfaces_up.extend(["eth0".to_owned(), "eth1".to_owned()]);
    report.impaired.insert("out".to_owned(), "no IPVS".to_owned());
    let facts = Facts::gather(&synced(), "ds1", &report, |_| None);
    assert!(facts.stopping);
    assert!(facts.units[0].members.iter().all(|one| one.fault.is_none()));
    report.faults.insert("in".to_owned(), "script web failed".to_owned());
    let facts = Facts::gather(&synced(), "ds1", &report, |_| None);
    assert_eq!(facts.units[0].members[1].fault.as_deref(), Some("fault: script web failed"));
}

/// What may be at one look: who holds with what epoch, whether there is a fault, who exists.
fn looks() -> impl Strategy<Value = Vec<(Option<u64>, bool, bool, u8)>> {
    prop::collection::vec(
        (prop::option::of(1..4_u64), any::<bool>(), any::<bool>(), 1..4_u8),
        1..40,
    )
}

proptest! {
    /// The stream alone tells a reader everything: it always ends in the state that is, MASTER
    /// comes from BACKUP only, no state follows itself, and the group follows its members.
    #[test]
    fn the_stream_agrees_with_the_facts(looks in looks()) {
        let mut world = World::of(vec![]);
        let mut last: BTreeMap<(Kind, String), State> = BTreeMap::new();
        for (epoch, is_fault, exists, priority) in looks {
            let mut now = unit(Some("G"), &["a", "b"]);
            now.held = epoch.and_then(held);
            now.members[1].priority = priority;
            now.members[1].tells_priority = true;
            now.members[1].fault = is_fault.then(|| "broken".to_owned());
            world.facts.units = if exists { vec![now] } else { vec![] };
            world.notifier.handle_facts(&world.facts);
            while let Some(one) = world.notifier.poll_transition() {
                let key = (one.kind, one.name.clone());
                let before = last.get(&key).copied();
                match one.state {
                    State::MasterPriority => prop_assert_eq!(before, Some(State::Master)),
                    State::BackupPriority => prop_assert_eq!(before, Some(State::Backup)),
                    State::Master => prop_assert_eq!(before, Some(State::Backup)),
                    State::Backup => prop_assert_ne!(before, Some(State::Backup)),
                    State::Fault => prop_assert_ne!(before, Some(State::Fault)),
                    State::Stop | State::Deleted | State::MasterRxLowerPri => {
                        prop_assert!(false, "nothing asked for {one}");
                    }
                }
                if !matches!(one.state, State::MasterPriority | State::BackupPriority) {
                    last.insert(key, one.state);
                }
                if one.kind == Kind::Group {
                    for name in ["a", "b"] {
                        let of = last.get(&(Kind::Instance, name.to_owned()));
                        prop_assert_eq!(of, Some(&one.state));
                    }
                }
            }
            let expected = match (exists, epoch, is_fault) {
                (true, Some(_), _) => State::Master,
                (true, None, false) => State::Backup,
                (true, None, true) => State::Fault,
                (false, ..) => { last.clear(); continue }
            };
            prop_assert!(last.len() == 3 && last.values().all(|state| *state == expected));
        }
    }
}
