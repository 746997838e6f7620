//! The whole data plane on the real kernel: take, announce, renew, release, reconcile, strip.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it too")]

mod bed;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bed::{Bed, DIRECTOR_IP, GROUP, LIFETIME, VIP, VIP6, ahead, binding};
use leasehold_dataplane::plan::{Binding, Bound};
use leasehold_dataplane::{DataplaneError, Event, Kernel, Report, Watch, strip};
use leasehold_model::{GroupId, Scope};

const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

fn bindings() -> Vec<Binding> {
    vec![binding(VIP.into()), binding(VIP6.into())]
}

fn vips() -> BTreeSet<IpAddr> {
    [VIP.into(), VIP6.into()].into()
}

async fn open(bed_pin_dir: std::path::PathBuf) -> Kernel {
    let mut kernel = Kernel::open(Some(&bed_pin_dir)).unwrap();
    kernel.fence_vips(&[(VIP.into(), GROUP), (VIP6.into(), GROUP)].into()).unwrap();
    kernel
}

async fn ours(kernel: &Kernel) -> BTreeSet<IpAddr> {
    let all = kernel.addresses.read().await.unwrap();
    all.iter().map(|bound| bound.address).filter(|address| vips().contains(address)).collect()
}

#[test]
fn a_group_is_taken_opened_announced_and_released() {
    let bed = Bed::new();
    let client = bed.client();
    let pin_dir = bed.pin_dir.clone();
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir).await;
        kernel.take(&bindings(), LIFETIME).await.unwrap();
        assert_eq!(ours(&kernel).await, vips());
        for vip in vips() {
            assert!(!client.asks(vip, PATIENCE), "bound is not open");
        }
        let unsent = kernel.announce(&bindings()).await.unwrap_err();
        assert!(matches!(unsent, DataplaneError::Unsent { unsent: 2, wanted: 2, .. }), "{unsent}");

        let mut gate = kernel.fence.as_ref().unwrap().gate().unwrap();
        gate.open_until(GROUP, ahead(LONG)).unwrap();
        kernel.announce(&bindings()).await.unwrap();
        for vip in vips() {
            assert!(client.hears(LONG, |frame| client.is_claim(frame, vip)).is_some(), "{vip}");
        }
        for vip in vips() {
            assert!(client.reaches(vip), "{vip}");
        }

        kernel.release(&bindings()).await.unwrap();
        assert_eq!(gate.deadline(GROUP).unwrap(), None);
        assert_eq!(ours(&kernel).await, BTreeSet::new());
        for vip in vips() {
            assert!(!client.asks(vip, PATIENCE));
        }
    });
}

#[test]
fn nothing_is_bound_that_is_not_behind_the_fence() {
    let bed = Bed::new();
    let pin_dir = bed.pin_dir.clone();
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir).await;
        let stranger = binding("10.77.0.200".parse().unwrap());
        let other_group = Binding { group: GroupId(99), ..binding(VIP.into()) };
        for bare in [stranger, other_group] {
            let group = [binding(VIP6.into()), bare];
            let error = kernel.take(&group, LIFETIME).await.unwrap_err();
            assert!(matches!(error, DataplaneError::Unfenced { .. }), "{error}");
            assert_eq!(ours(&kernel).await, BTreeSet::new());
        }
    });
}

#[test]
fn what_others_did_is_put_right_and_what_is_theirs_stays() {
    let bed = Bed::new();
    let (director, pin_dir) = (bed.director.clone(), bed.pin_dir.clone());
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir).await;
        kernel.take(&bindings(), LIFETIME).await.unwrap();
        let clean = kernel.reconcile(&bindings(), &vips(), LIFETIME).await.unwrap();
        assert_eq!(clean, Report::default());

        // Someone's own address in the same subnet, then a removal by hand.
        bed::ip(&format!("-n {director} addr add 10.77.0.55/24 dev eth0"));
        bed::ip(&format!("-n {director} addr del {VIP}/24 dev eth0"));
        let report = kernel.reconcile(&bindings(), &vips(), LIFETIME).await.unwrap();
        assert_eq!((report.bound, report.unbound), (vec![VIP.into()], vec![]));

        let report = kernel.reconcile(&[], &vips(), LIFETIME).await.unwrap();
        assert_eq!(report.unbound.len(), 2);
        let left = kernel.addresses.read().await.unwrap();
        for theirs in ["10.77.0.55".parse().unwrap(), IpAddr::from(DIRECTOR_IP)] {
            assert!(left.iter().any(|bound| bound.address == theirs), "{theirs}");
        }
    });
}

#[test]
fn an_address_is_bound_as_it_was_asked_for() {
    let bed = Bed::new();
    let pin_dir = bed.pin_dir.clone();
    let director = bed.director.clone();
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir).await;
        let wanted = Binding {
            prefix: 28,
            label: Some("eth0:web".to_owned()),
            broadcast: Some(Ipv4Addr::new(10, 77, 0, 111)),
            scope: Scope::Link,
            ..binding(VIP.into())
        };
        let group = [wanted.clone(), binding(VIP6.into())];
        kernel.take(&group, LIFETIME).await.unwrap();
        let all = kernel.addresses.read().await.unwrap();
        let bound: Vec<&Bound> = all.iter().filter(|one| one.address == wanted.address).collect();
        assert!(bound.len() == 1 && wanted.is(bound[0]), "{bound:?}");
        let shown = bed::run("ip", &format!("-n {director} addr show dev eth0"));
        assert!(shown.contains("scope link dynamic eth0:web"), "{shown}");
        let vip6 = shown.lines().find(|line| line.contains("fd77::100")).unwrap();
        assert!(vip6.contains("nodad") && !vip6.contains("tentative"), "{vip6}");

        // Another label is another address to the kernel: it is bound anew.
        let changed = [binding(VIP.into()), binding(VIP6.into())];
        let report = kernel.reconcile(&changed, &vips(), LIFETIME).await.unwrap();
        assert_eq!((report.unbound, report.bound), (vec![VIP.into()], vec![VIP.into()]));
    });
}

#[test]
fn a_lifetime_that_is_not_renewed_unbinds() {
    let bed = Bed::new();
    let pin_dir = bed.pin_dir.clone();
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir).await;
        let mut watch = Watch::open().unwrap();
        kernel.take(&bindings(), Duration::from_secs(1)).await.unwrap();
        kernel.refresh(&[binding(VIP6.into())], LIFETIME).await.unwrap();
        let gone = async {
            loop {
                if let Event::AddressRemoved { address } = watch.next().await {
                    break address;
                }
            }
        };
        let gone = tokio::time::timeout(LONG, gone).await.unwrap();
        assert_eq!(gone, IpAddr::from(VIP));
        assert_eq!(ours(&kernel).await, [VIP6.into()].into());
    });
}

#[test]
fn changes_are_told_and_an_overrun_asks_for_a_resync() {
    let bed = Bed::new();
    let (director, client) = (bed.director.clone(), bed.client.clone());
    bed::block_in_ns(&bed.director, || async move {
        let mut watch = Watch::open().unwrap();
        bed::ip(&format!("-n {director} addr add {VIP}/24 dev eth0"));
        bed::ip(&format!("-n {director} addr del {VIP}/24 dev eth0"));
        bed::run("tc", &format!("-n {director} qdisc add dev eth0 clsact"));
        bed::ip(&format!("-n {client} link set eth0 down"));
        let mut expected = vec![
            Event::AddressAdded { address: VIP.into() },
            Event::AddressRemoved { address: VIP.into() },
            Event::Filters,
            Event::Link { name: "eth0".to_owned() },
        ];
        while !expected.is_empty() {
            let event = tokio::time::timeout(LONG, watch.next()).await.unwrap();
            expected.retain(|one| *one != event);
        }

        // More than the socket's buffer holds, with no one reading.
        let lines: String = (0..4000)
            .map(|n| format!("addr add 10.78.{}.{}/32 dev lo\n", n / 250, n % 250 + 1))
            .collect();
        let file = std::env::temp_dir().join(format!("leasehold_{}", std::process::id()));
        std::fs::write(&file, lines).unwrap();
        bed::ip(&format!("-n {director} -batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        let resync = async { while watch.next().await != Event::Resync {} };
        tokio::time::timeout(LONG, resync).await.unwrap();
    });
}

#[test]
fn strip_closes_and_unbinds_what_a_dead_daemon_left() {
    let bed = Bed::new();
    let client = bed.client();
    let pin_dir = bed.pin_dir.clone();
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = open(pin_dir.clone()).await;
        kernel.take(&bindings(), LIFETIME).await.unwrap();
        let mut gate = kernel.fence.as_ref().unwrap().gate().unwrap();
        gate.open_until(GROUP, ahead(LONG)).unwrap();
        assert!(client.reaches(VIP.into()));
        drop(kernel);

        let stripped = strip(Some(&mut gate), &BTreeSet::new()).await.unwrap();
        assert_eq!(stripped, vips());
        assert!(!client.asks(VIP.into(), PATIENCE));
        let kernel = Kernel::open(Some(&pin_dir)).unwrap();
        assert_eq!(ours(&kernel).await, BTreeSet::new());
        assert_eq!(gate.deadline(GROUP).unwrap(), None);
    });
}

#[test]
fn interfaces_without_carrier_are_not_up() {
    let bed = Bed::new();
    bed.wire("eth1");
    let client = bed.client.clone();
    bed::block_in_ns(&bed.director, || async move {
        let kernel = Kernel::open(None).unwrap();
        let handle = kernel.addresses.handle();
        let up = leasehold_dataplane::links::interfaces_up(handle).await.unwrap();
        assert!(up.contains("eth0") && up.contains("eth1"), "{up:?}");
        bed::ip(&format!("-n {client} link set eth1 down"));
        let up = leasehold_dataplane::links::interfaces_up(handle).await.unwrap();
        assert!(up.contains("eth0") && !up.contains("eth1"), "{up:?}");
    });
}
