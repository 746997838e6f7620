//! The difference is what it says: it converges, and it leaves strangers alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{GroupId, Scope};
use proptest::prelude::*;

use super::*;

fn binding(address: &str, interface: &str) -> Binding {
    let address: IpAddr = address.parse().unwrap();
    Binding {
        address,
        prefix: if address.is_ipv4() { 24 } else { 64 },
        interface: interface.to_owned(),
        label: None,
        broadcast: None,
        scope: Scope::Global,
        group: GroupId(1),
    }
}

/// What the kernel shows once `binding` is bound.
fn bound(binding: &Binding) -> Bound {
    let v4 = binding.address.is_ipv4();
    Bound {
        address: binding.address,
        prefix: binding.prefix,
        interface: binding.interface.clone(),
        label: binding.label.clone().filter(|label| v4 && *label != binding.interface),
        broadcast: binding.broadcast.filter(|_| v4),
        scope: if v4 { scope_number(binding.scope) } else { 0 },
    }
}

fn apply(ops: &[AddressOp], actual: &mut Vec<Bound>) {
    for op in ops {
        match op {
            AddressOp::Unbind(gone) => actual.retain(|bound| bound != gone),
            AddressOp::Bind(come) => actual.push(bound(come)),
        }
    }
}

#[test]
fn nothing_to_do_is_nothing_done() {
    let vip = binding("10.0.0.1", "eth0");
    assert_eq!(diff(std::slice::from_ref(&vip), &[bound(&vip)], &BTreeSet::new()), []);
}

#[test]
fn a_missing_vip_is_bound_and_a_stale_one_unbound_first() {
    let (stale, new) = (binding("10.0.0.1", "eth0"), binding("10.0.0.2", "eth0"));
    let owned = [stale.address, new.address].into();
    let ops = diff(std::slice::from_ref(&new), &[bound(&stale)], &owned);
    assert_eq!(ops, [AddressOp::Unbind(bound(&stale)), AddressOp::Bind(new)]);
}

#[test]
fn a_strangers_address_is_not_touched() {
    let stranger = bound(&binding("10.0.0.9", "eth0"));
    let owned = ["10.0.0.1".parse().unwrap()].into();
    assert_eq!(diff(&[], &[stranger], &owned), []);
}

#[test]
fn any_change_is_unbind_and_bind() {
    let was = binding("10.0.0.1", "eth0");
    let changes = [
        Binding { prefix: 32, ..was.clone() },
        Binding { interface: "eth1".to_owned(), ..was.clone() },
        Binding { label: Some("eth0:1".to_owned()), ..was.clone() },
        Binding { broadcast: Some(Ipv4Addr::new(10, 0, 0, 255)), ..was.clone() },
        Binding { scope: Scope::Link, ..was.clone() },
    ];
    for change in changes {
        let ops = diff(std::slice::from_ref(&change), &[bound(&was)], &BTreeSet::new());
        assert_eq!(ops, [AddressOp::Unbind(bound(&was)), AddressOp::Bind(change)]);
    }
}

#[test]
fn another_group_is_no_change_to_the_address() {
    let was = binding("10.0.0.1", "eth0");
    let now = Binding { group: GroupId(2), ..was.clone() };
    assert_eq!(diff(&[now], &[bound(&was)], &BTreeSet::new()), []);
}

#[test]
fn a_label_that_is_the_interface_is_no_label() {
    let was = binding("10.0.0.1", "eth0");
    let now = Binding { label: Some("eth0".to_owned()), ..was.clone() };
    assert_eq!(diff(&[now], &[bound(&was)], &BTreeSet::new()), []);
}

#[test]
fn a_vip_on_two_interfaces_stays_on_one() {
    let (here, there) = (binding("10.0.0.1", "eth0"), binding("10.0.0.1", "eth1"));
    let actual = [bound(&there), bound(&here)];
    let ops = diff(std::slice::from_ref(&here), &actual, &BTreeSet::new());
    assert_eq!(ops, [AddressOp::Unbind(bound(&there))]);
}

#[test]
fn the_order_of_the_configuration_is_kept() {
    let vips = [binding("10.0.0.3", "eth0"), binding("10.0.0.1", "eth0")];
    let expected = vips.clone().map(AddressOp::Bind);
    assert_eq!(diff(&vips, &[], &BTreeSet::new()), expected);
}

#[test]
fn a_takeover_fences_before_it_binds_and_opens_before_it_announces() {
    let at = |step| TAKEOVER.iter().position(|one| *one == step).unwrap();
    assert!(at(Step::Fence) < at(Step::Bind));
    assert!(at(Step::Open) < at(Step::Announce));
    assert_eq!(RELEASE[0], Step::Close);
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let address = prop_oneof![
        (0u8..6).prop_map(|low| IpAddr::from([10, 0, 0, low])),
        (0u16..3).prop_map(|low| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, low])),
    ];
    let scope = prop_oneof![Just(Scope::Global), Just(Scope::Link)];
    (address, 24u8..26, 0u8..2, prop::option::of(0u8..2), scope).prop_map(
        |(address, prefix, interface, label, scope)| Binding {
            address,
            prefix,
            interface: format!("eth{interface}"),
            label: label.map(|label| format!("eth{interface}:{label}")),
            broadcast: None,
            scope,
            group: GroupId(1),
        },
    )
}

proptest! {
    #[test]
    fn one_round_converges(
        desired in prop::collection::vec(any_binding(), 0..8),
        before in prop::collection::vec(any_binding(), 0..8),
        owned in prop::collection::btree_set((0u8..6).prop_map(|low| IpAddr::from([10, 0, 0, low])), 0..6),
    ) {
        let mut actual: Vec<Bound> = before.iter().map(bound).collect();
        actual.sort();
        actual.dedup();
        let wanted: BTreeSet<IpAddr> = desired.iter().map(|binding| binding.address).collect();
        let ours = |bound: &Bound| wanted.contains(&bound.address) || owned.contains(&bound.address);
        let strangers: Vec<Bound> = actual.iter().filter(|bound| !ours(bound)).cloned().collect();

        apply(&diff(&desired, &actual, &owned), &mut actual);

        prop_assert_eq!(diff(&desired, &actual, &owned), []);
        for address in &wanted {
            let times = actual.iter().filter(|bound| bound.address == *address).count();
            prop_assert_eq!(times, 1);
        }
        let left: Vec<Bound> = actual.iter().filter(|bound| !ours(bound)).cloned().collect();
        prop_assert_eq!(left, strangers);
    }
}
