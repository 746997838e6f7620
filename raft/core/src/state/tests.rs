//! What entries do to the state, one sentence each.

use std::sync::Arc;

use std::net::IpAddr;

use leasehold_model::{
    Config, Epoch, GroupId, Instance, NodeId, Revision, Role, Scope, SyncGroup, Vip,
};
use proptest::prelude::*;

use super::recover::LOST;
use super::{Cause, Command, Entry, Outcome, RECOVERY_GAP, Retiring, State};

mod history;
mod overrides;

const A: NodeId = NodeId(1);
const WEB: GroupId = GroupId(1);
const MAIL: GroupId = GroupId(2);

/// A state and the log's next index.
struct Log {
    state: State,
    index: u64,
}

impl Log {
    fn apply_at(&mut self, at_unix_ms: u64, command: Command) -> Outcome {
        self.index += 1;
        self.state.apply(self.index, &Entry { at_unix_ms, command })
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.apply_at(0, command)
    }

    fn configure(&mut self, of: &[(&str, &[&str])]) -> Outcome {
        self.set(config(of))
    }

    fn set(&mut self, config: Config) -> Outcome {
        self.apply(Command::Apply { config: Arc::new(config), if_revision: None, note: None })
    }

    fn admit(&mut self, name: &str, role: Role) -> NodeId {
        let hash = format!("hash of {name}");
        self.apply(Command::AddToken { hash: hash.clone(), role, expires_unix_ms: 1000 });
        let address = format!("{name}:7400");
        let admit = Command::Admit { token_hash: hash, name: name.to_owned(), address };
        let Outcome::Admitted { node, .. } = self.apply(admit) else { panic!("{name}") };
        node
    }

    fn grant(&mut self, group: GroupId, holder: NodeId) -> Epoch {
        let replaces = self.state.leases[&group].epoch;
        let grant = Command::Grant { group, holder, replaces, cause: Cause::Created };
        assert_eq!(self.apply(grant), Outcome::Done);
        Epoch(self.index)
    }

    fn release(&mut self, group: GroupId, epoch: Epoch, next: Option<NodeId>) -> Outcome {
        self.apply(Command::Release { group, epoch, next, cause: Cause::Moved })
    }

    fn holder(&self, group: GroupId) -> (Option<NodeId>, Epoch) {
        (self.state.leases[&group].holder, self.state.leases[&group].epoch)
    }

    fn vips(&self, node: NodeId) -> Vec<String> {
        let held = self.state.held_by(node);
        let vips = held.iter().flat_map(|one| one.vips.iter());
        vips.map(|vip| vip.address.to_string()).collect()
    }
}

/// Members ds1, the founder, and ds2; instances web and mail.
fn log() -> (Log, NodeId) {
    let mut log = Log { state: State::default(), index: 0 };
    let found = Command::Found {
        cluster: "c".to_owned(),
        name: "ds1".to_owned(),
        address: "ds1:7400".to_owned(),
    };
    assert_eq!(log.apply(found), Outcome::Done);
    let b = log.admit("ds2", Role::Director);
    log.configure(&[("a-web", &["192.0.2.1", "192.0.2.2"]), ("b-mail", &["192.0.2.3"])]);
    assert_eq!(log.state.groups["a-web"], WEB);
    assert_eq!(log.state.groups["b-mail"], MAIL);
    (log, b)
}

fn config(of: &[(&str, &[&str])]) -> Config {
    let mut config = Config::default();
    for (name, addresses) in of {
        let vip = |address: &&str| Vip {
            address: address.parse().unwrap(),
            prefix: 32,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        };
        let instance = Instance {
            virtual_ipaddress: addresses.iter().map(vip).collect(),
            ..Instance::new(1, "eth0")
        };
        config.instances.insert((*name).to_owned(), instance);
    }
    config
}

/// 192.0.2.1 goes from web, which `A` holds, to mail, which `b` holds.
fn moved() -> (Log, NodeId, Epoch) {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    log.grant(MAIL, b);
    log.configure(&[("a-web", &["192.0.2.2"]), ("b-mail", &["192.0.2.1", "192.0.2.3"])]);
    (log, b, epoch)
}

#[test]
fn a_grant_replaces_the_epoch_it_names_and_no_other() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    let stale = Command::Grant { group: WEB, holder: b, replaces: Epoch(0), cause: Cause::Expired };
    assert_eq!(log.apply(stale), Outcome::Stale);
    assert_eq!(log.holder(WEB), (Some(A), epoch));
    assert!(log.state.is_held(WEB, epoch, A));
    assert!(!log.state.is_held(WEB, epoch, b));
    assert!(!log.state.is_held(WEB, Epoch(epoch.0 + 1), A));
}

#[test]
fn nobody_is_granted_what_is_gone_or_is_granted_while_unknown() {
    let (mut log, _) = log();
    let mut grant = |group, holder| {
        log.apply(Command::Grant { group, holder, replaces: Epoch(0), cause: Cause::Created })
    };
    assert_eq!(grant(GroupId(9), A), Outcome::Stale);
    assert_eq!(grant(WEB, NodeId(99)), Outcome::Stale);
}

#[test]
fn a_release_ends_its_own_epoch_only_and_once() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    assert_eq!(log.release(WEB, Epoch(epoch.0 - 1), None), Outcome::Stale);
    assert_eq!(log.release(WEB, epoch, Some(b)), Outcome::Done);
    let given = (Some(b), Epoch(log.index));
    assert_eq!(log.release(WEB, epoch, None), Outcome::Stale);
    assert_eq!(log.holder(WEB), given);
    assert_eq!(log.release(WEB, given.1, Some(NodeId(99))), Outcome::Done);
    assert_eq!(log.holder(WEB), (None, Epoch(log.index)), "an unknown successor is none");
}

#[test]
fn a_start_ends_what_earlier_starts_held_and_a_copy_of_it_nothing() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    log.grant(MAIL, b);
    let started = Command::Started { node: A, incarnation: 1 };
    assert_eq!(log.apply(started.clone()), Outcome::Done);
    assert_eq!(log.holder(WEB), (None, Epoch(log.index)));
    assert_eq!(log.holder(MAIL).0, Some(b));
    assert_eq!(log.release(WEB, epoch, Some(b)), Outcome::Stale, "its guard's word, late");
    let again = log.grant(WEB, A);
    assert_eq!(log.apply(started), Outcome::Stale);
    assert_eq!(log.holder(WEB), (Some(A), again));
}

fn synced(mut config: Config, members: &[&str]) -> Config {
    let members = members.iter().map(|name| (*name).to_owned()).collect();
    let group = SyncGroup { members, ..SyncGroup::default() };
    config.sync_groups.insert("both".to_owned(), group);
    config
}

#[test]
fn instances_of_a_sync_group_share_a_lease() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    log.grant(MAIL, b);
    let of: [(&str, &[&str]); 2] = [("a-web", &["192.0.2.1"]), ("b-mail", &["192.0.2.3"])];
    log.set(synced(config(&of), &["a-web", "b-mail"]));
    assert_eq!(log.state.groups["a-web"], WEB);
    assert_eq!(log.state.groups["b-mail"], WEB);
    assert_eq!(log.holder(WEB), (Some(A), epoch), "the first member's holder stays");
    assert!(!log.state.leases.contains_key(&MAIL));
    assert_eq!(log.vips(A), ["192.0.2.1"], "ds2 may answer for the other one still");
    log.state.retiring.clear();
    assert_eq!(log.vips(A), ["192.0.2.1", "192.0.2.3"]);
    assert_eq!(log.state.units().count(), 1);
    assert_eq!(log.state.group_named("both"), Some(WEB));
}

#[test]
fn an_instance_that_leaves_its_sync_group_waits_for_the_holder() {
    let (mut log, b) = log();
    let of: [(&str, &[&str]); 2] = [("a-web", &["192.0.2.1"]), ("b-mail", &["192.0.2.3"])];
    log.set(synced(config(&of), &["a-web", "b-mail"]));
    log.grant(WEB, A);
    log.set(config(&of));
    let alone = log.state.groups["b-mail"];
    assert_ne!(alone, WEB);
    assert_ne!(alone, MAIL, "numbers are not reused");
    log.grant(alone, b);
    assert_eq!(log.vips(A), ["192.0.2.1"]);
    assert!(log.vips(b).is_empty());
    log.state.retiring.clear();
    assert_eq!(log.vips(b), ["192.0.2.3"]);
}

#[test]
fn an_excluded_address_is_leased_like_the_others() {
    let (mut log, b) = log();
    let mut next = config(&[("a-web", &["192.0.2.1", "192.0.2.9"]), ("b-mail", &["192.0.2.3"])]);
    let web = next.instances.get_mut("a-web").unwrap();
    web.virtual_ipaddress_excluded = web.virtual_ipaddress.split_off(1);
    log.set(next.clone());
    log.grant(WEB, A);
    log.grant(MAIL, b);
    assert_eq!(log.vips(A), ["192.0.2.1", "192.0.2.9"]);
    let excluded =
        std::mem::take(&mut next.instances.get_mut("a-web").unwrap().virtual_ipaddress_excluded);
    next.instances.get_mut("b-mail").unwrap().virtual_ipaddress_excluded = excluded;
    log.set(next);
    assert_eq!(log.vips(b), ["192.0.2.3"], "ds1 may answer for it still");
}

#[test]
fn a_handover_asks_the_holder_and_takes_nothing() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, A);
    let mut ask =
        |epoch, to| log.apply(Command::Handover { group: WEB, epoch, to, cause: Cause::Moved });
    assert_eq!(ask(epoch, A), Outcome::Stale);
    assert_eq!(ask(Epoch(1), b), Outcome::Stale);
    assert_eq!(ask(epoch, b), Outcome::Done);
    assert!(log.state.is_held(WEB, epoch, A));
    assert_eq!(log.state.held_by(A)[0].handover, Some(b));
    log.apply(Command::Remove { node: b });
    assert_eq!(log.state.held_by(A)[0].handover, None);
}

#[test]
fn an_address_opens_in_its_new_group_only_after_the_old_holder_let_go() {
    let (mut log, b, _) = moved();
    assert_eq!(log.vips(A), ["192.0.2.2"]);
    assert_eq!(log.vips(b), ["192.0.2.3"]);
    let items = log.state.retiring.clone();
    assert_eq!(items.len(), 1);
    assert_eq!(log.apply(Command::Retired { items }), Outcome::Done);
    assert_eq!(log.vips(b), ["192.0.2.1", "192.0.2.3"]);
}

#[test]
fn the_end_of_the_old_epoch_lets_go_however_it_ends() {
    let (_, b, epoch) = moved();
    let ends = [
        Command::Grant { group: WEB, holder: b, replaces: epoch, cause: Cause::Expired },
        Command::Release { group: WEB, epoch, next: None, cause: Cause::Stopped },
        Command::Started { node: A, incarnation: 1 },
    ];
    for end in ends {
        let (mut log, ..) = moved();
        log.apply(end.clone());
        assert_eq!(log.state.retiring, [], "{end:?}");
    }
    // The group is gone; its last holder still says when it stopped.
    let (mut log, ..) = moved();
    log.configure(&[("b-mail", &["192.0.2.1", "192.0.2.3"])]);
    assert_eq!(log.state.retiring.len(), 2);
    assert_eq!(log.release(WEB, epoch, None), Outcome::Stale);
    assert_eq!(log.state.retiring, []);
}

/// The proposal was made when A had let go for the first time. It arrives after A took the
/// address back and lost it again, of which A knows nothing yet.
#[test]
fn letting_go_once_is_not_letting_go_twice() {
    let (mut log, b, epoch) = moved();
    let first: Vec<Retiring> = log.state.retiring.clone();
    log.configure(&[("a-web", &["192.0.2.1", "192.0.2.2"]), ("b-mail", &["192.0.2.3"])]);
    let back = log.state.retiring.iter().filter(|one| one.holder == b).cloned().collect();
    log.apply(Command::Retired { items: back });
    assert_eq!(log.vips(A), ["192.0.2.1", "192.0.2.2"]);
    log.configure(&[("a-web", &["192.0.2.2"]), ("b-mail", &["192.0.2.1", "192.0.2.3"])]);
    log.apply(Command::Retired { items: first });
    assert_eq!(log.vips(b), ["192.0.2.3"]);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let index = log.index - 1;
    let left = Retiring { address, group: WEB, epoch, holder: A, index };
    assert_eq!(log.state.retiring, [left]);
}

#[test]
fn a_removed_member_holds_nothing_it_could_renew_but_its_lease_must_run_out() {
    let (mut log, b) = log();
    let epoch = log.grant(WEB, b);
    assert_eq!(log.apply(Command::Remove { node: b }), Outcome::Done);
    assert!(!log.state.is_held(WEB, epoch, b));
    assert_eq!(log.holder(WEB), (Some(b), epoch));
    log.grant(WEB, A);
}

#[test]
fn a_group_that_comes_back_is_another_group() {
    let (mut log, _) = log();
    log.grant(WEB, A);
    log.configure(&[("b-mail", &["192.0.2.3"])]);
    log.configure(&[("a-web", &["192.0.2.1"]), ("b-mail", &["192.0.2.3"])]);
    assert_eq!(log.state.groups["a-web"], GroupId(3));
    assert_eq!(log.holder(GroupId(3)), (None, Epoch(0)));
    assert!(!log.state.leases.contains_key(&WEB));
}

#[test]
fn a_configuration_is_refused_where_someone_changed_it_meanwhile() {
    let (mut log, _) = log();
    let revision = log.state.revision;
    let apply = |expected| Command::Apply {
        config: Arc::new(config(&[])),
        if_revision: Some(expected),
        note: None,
    };
    let conflict = Outcome::Conflict { expected: Revision(1), in_force: revision, origin: None };
    assert_eq!(log.apply(apply(Revision(1))), conflict);
    let revision_now = Revision(log.index + 1);
    let applied = Outcome::Applied { revision: revision_now, changed: true };
    assert_eq!(log.apply(apply(revision)), applied);
    let unchanged = Outcome::Applied { revision: revision_now, changed: false };
    assert_eq!(log.configure(&[]), unchanged);
}

#[test]
fn a_token_admits_one_machine_before_it_expires() {
    let (mut log, b) = log();
    let hash = "h".to_owned();
    let add = Command::AddToken { hash, role: Role::Witness, expires_unix_ms: 100 };
    log.apply(add);
    let admit = |name: &str, address: &str| Command::Admit {
        token_hash: "h".to_owned(),
        name: name.to_owned(),
        address: address.to_owned(),
    };
    assert!(matches!(log.apply_at(50, admit("ds2", "x:1")), Outcome::Refused(_)), "name taken");
    assert!(matches!(log.apply_at(50, admit("w", "ds2:7400")), Outcome::Refused(_)), "address");
    assert!(matches!(log.apply_at(100, admit("w", "w:1")), Outcome::Refused(_)), "expired");
    let admitted = log.apply_at(99, admit("w", "w:1"));
    let node = NodeId(log.index);
    assert_eq!(admitted, Outcome::Admitted { node, role: Role::Witness });
    assert!(node > b);
    assert!(matches!(log.apply_at(99, admit("w2", "w2:1")), Outcome::Refused(_)), "used");
}

#[test]
fn a_pin_names_a_director_that_may_hold_and_ends_when_the_group_goes_elsewhere() {
    let (mut log, b) = log();
    let witness = log.admit("w", Role::Witness);
    let pin = |group, node| Command::Pin { group, node };
    assert!(matches!(log.apply(pin(GroupId(9), A)), Outcome::Refused(_)));
    assert!(matches!(log.apply(pin(WEB, witness)), Outcome::Refused(_)));
    assert!(matches!(log.apply(pin(WEB, NodeId(99))), Outcome::Refused(_)));
    assert_eq!(log.apply(pin(WEB, b)), Outcome::Done);
    log.grant(WEB, b);
    assert_eq!(log.state.pins.get(&WEB), Some(&b));
    log.grant(WEB, A);
    assert_eq!(log.state.pins.get(&WEB), None);
    log.apply(Command::Drain { node: b, drained: true });
    assert!(matches!(log.apply(pin(WEB, b)), Outcome::Refused(_)));
}

#[test]
fn the_last_voter_stays() {
    let (mut log, b) = log();
    assert_eq!(log.apply(Command::Vote { node: b, votes: false }), Outcome::Done);
    assert!(matches!(log.apply(Command::Vote { node: A, votes: false }), Outcome::Refused(_)));
    assert!(matches!(log.apply(Command::Remove { node: A }), Outcome::Refused(_)));
}

#[test]
fn a_cluster_is_founded_once() {
    let (mut log, _) = log();
    let name = "x".to_owned();
    let again = Command::Found { cluster: name.clone(), name: name.clone(), address: name };
    assert!(matches!(log.apply(again), Outcome::Refused(_)));
}

#[test]
#[should_panic(expected = "entry 1 after")]
fn an_entry_is_applied_once() {
    let (mut log, _) = log();
    log.state.skip(1);
}

/// Any entry, also nonsense.
fn command() -> impl Strategy<Value = Command> {
    let group = || (0..4u32).prop_map(GroupId);
    let node = || prop_oneof![Just(NodeId(1)), Just(NodeId(3)), Just(NodeId(9))];
    let epoch = || (0..40u64).prop_map(Epoch);
    let cause = Cause::Moved;
    prop_oneof![
        (0..4usize).prop_map(|variant| {
            let variants: [&[(&str, &[&str])]; 4] = [
                &[("a-web", &["192.0.2.1"]), ("b-mail", &["192.0.2.3"])],
                &[("a-web", &[]), ("b-mail", &["192.0.2.1", "192.0.2.3"])],
                &[("b-mail", &["192.0.2.1"])],
                &[],
            ];
            Command::Apply {
                config: Arc::new(config(variants[variant])),
                if_revision: None,
                note: None,
            }
        }),
        (group(), node(), epoch()).prop_map(move |(group, holder, replaces)| Command::Grant {
            group,
            holder,
            replaces,
            cause
        }),
        (group(), epoch(), proptest::option::of(node())).prop_map(move |(group, epoch, next)| {
            Command::Release { group, epoch, next, cause }
        }),
        (node(), 0..4u64).prop_map(|(node, incarnation)| Command::Started { node, incarnation }),
        node().prop_map(|node| Command::Remove { node }),
    ]
}

proptest! {
    /// Whatever is applied: one lease for each group, an address in the hands of one node, and
    /// epochs that only grow. Snapshots say it all.
    #[test]
    fn the_state_stays_whole(commands in proptest::collection::vec(command(), 1..60)) {
        let (mut log, b) = log();
        log.grant(WEB, A);
        log.grant(MAIL, b);
        for command in commands {
            let before = log.state.clone();
            log.apply(command);
            let state = &log.state;
            let groups: Vec<_> = state.groups.values().collect();
            prop_assert_eq!(groups.len(), state.leases.len());
            for group in groups {
                let lease = &state.leases[group];
                if let Some(old) = before.leases.get(group) {
                    prop_assert!(lease.epoch >= old.epoch);
                    prop_assert!(lease.epoch > old.epoch || lease.holder == old.holder);
                }
            }
            for (one, other) in [(A, b), (b, A)] {
                for vip in log.vips(one) {
                    prop_assert!(!log.vips(other).contains(&vip), "{} at both", vip);
                    let address: IpAddr = vip.parse().unwrap();
                    prop_assert!(!state.is_retiring_elsewhere(address, one));
                }
            }
        }
    }
}

#[test]
fn a_recovered_state_keeps_the_configuration_and_forgets_the_lost() {
    let (mut log, b) = log();
    let held = log.grant(WEB, b);
    log.apply(Command::Pin { group: WEB, node: b });
    log.apply(Command::Drain { node: b, drained: true });
    log.configure(&[("web", &["10.0.0.3"])]);
    let token =
        Command::AddToken { hash: "h".to_owned(), role: Role::Director, expires_unix_ms: u64::MAX };
    log.apply(token);
    let (old, applied) = (log.state.clone(), log.index);
    assert!(!old.retiring.is_empty() && !old.tokens.is_empty());

    assert_eq!(old.clone().recovered(NodeId(99), "new"), None);
    let new = old.clone().recovered(b, "new").unwrap();
    assert_eq!(new.cluster, "new");
    assert_eq!((&new.config, new.revision), (&old.config, old.revision));
    assert_eq!((&new.groups, new.next_group), (&old.groups, old.next_group));
    assert_eq!(new.members.keys().collect::<Vec<_>>(), [&NodeId(1)]);
    let survivor = &new.members[&NodeId(1)];
    assert_eq!(survivor.name, old.members[&b].name);
    assert!(survivor.votes && !survivor.drained);
    let first = applied + RECOVERY_GAP;
    assert_eq!(new.applied, first, "the log goes on where no entry of the lost can be");
    let lost = new.leases.values().all(|one| one.holder == Some(LOST) && one.epoch == Epoch(first));
    assert!(lost, "whoever held it may answer until its ttl is over");
    assert!(Epoch(first) > held);
    assert!(new.retiring.is_empty() && new.pins.is_empty() && new.tokens.is_empty());
}
