//! Where the fence hangs: every kind of device, either kind of hook, and what others do to it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it too")]

mod bed;

use std::path::Path;
use std::time::Duration;

use aya::maps::{HashMap, MapData};
use bed::{Bed, DIRECTOR_IP, VIP};
use leasehold_fence::{Fence, FenceError, Gate, Hook, boot_now_ns};

const PATIENCE: Duration = Duration::from_millis(100);
const SLOT: u32 = 7;
const HOOKS: [Hook; 2] = [Hook::Tcx, Hook::Clsact];

fn later() -> u64 {
    boot_now_ns() + 5_000_000_000
}

/// A fence in the director's namespace, attached, with the one VIP.
fn fence(bed: &Bed, hook: Hook) -> Fence {
    fence_at(bed, &bed.pin_dir, hook)
}

fn fence_at(bed: &Bed, pin_dir: &Path, hook: Hook) -> Fence {
    let pin_dir = pin_dir.to_path_buf();
    bed.on_director(move || {
        let mut fence = Fence::open_with(&pin_dir, hook).unwrap();
        fence.attach_all().unwrap();
        fence.set_vips(&[(VIP.into(), SLOT)].into()).unwrap();
        fence
    })
}

fn attach_all(bed: &Bed, mut fence: Fence) -> (Fence, Vec<String>) {
    bed.on_director(move || {
        let seen_to = fence.attach_all().unwrap();
        (fence, seen_to)
    })
}

fn unguarded(bed: &Bed, fence: Fence) -> (Fence, Vec<String>) {
    bed.on_director(move || {
        let unguarded = fence.unguarded().unwrap();
        (fence, unguarded)
    })
}

#[test]
fn either_hook_closes_opens_and_outlives_its_owner() {
    for hook in HOOKS {
        let bed = Bed::new();
        bed.bind(VIP.into());
        let client = bed.client();
        drop(fence(&bed, hook));
        assert!(!client.asks(VIP.into(), PATIENCE), "{hook:?}");
        let mut gate = Gate::adopt(&bed.pin_dir).unwrap();
        gate.open_until(SLOT, later()).unwrap();
        assert!(client.reaches(VIP.into()), "{hook:?}");

        let (_, seen_to) = attach_all(&bed, fence(&bed, hook));
        assert_eq!(seen_to, [""; 0], "{hook:?}");
        let pin_dir = bed.pin_dir.clone();
        bed.on_director(move || Fence::remove(&pin_dir)).unwrap();
        assert!(!bed.pin_dir.exists());
        assert!(client.reaches(VIP.into()), "{hook:?}: removed, and still closed");
    }
}

#[test]
fn an_ingress_qdisc_leaves_no_place_for_the_fence_and_is_refused() {
    let bed = Bed::new();
    bed::run("tc", &format!("-n {} qdisc add dev eth0 ingress", bed.director));
    let pin_dir = bed.pin_dir.clone();
    let error = bed.on_director(move || {
        let mut fence = Fence::open_with(&pin_dir, Hook::Clsact).unwrap();
        fence.attach_all().unwrap_err()
    });
    assert!(matches!(&error, FenceError::IngressQdisc { interface } if interface == "eth0"));
}

#[test]
fn a_filter_that_someone_deleted_is_noticed_and_put_back() {
    let bed = Bed::new();
    bed.bind(VIP.into());
    let fence = fence(&bed, Hook::Clsact);
    let client = bed.client();
    bed::run("tc", &format!("-n {} qdisc del dev eth0 clsact", bed.director));
    assert!(client.reaches(VIP.into()), "without its filter there is no fence");
    let (fence, missing) = unguarded(&bed, fence);
    assert_eq!(missing, ["eth0"]);
    let (fence, seen_to) = attach_all(&bed, fence);
    assert_eq!(seen_to, ["eth0"]);
    assert!(!client.asks(VIP.into(), PATIENCE));
    assert_eq!(unguarded(&bed, fence).1, [""; 0]);
}

#[test]
fn strangers_filters_stay() {
    let (bed, stranger) = (Bed::new(), Bed::new());
    // The stranger: a fence on the same interface with maps of its own.
    let ours = fence(&bed, Hook::Clsact);
    let theirs = fence_at(&bed, &stranger.pin_dir, Hook::Clsact);
    drop(ours);
    let pin_dir = bed.pin_dir.clone();
    bed.on_director(move || Fence::remove(&pin_dir)).unwrap();
    assert_eq!(unguarded(&bed, theirs).1, [""; 0]);
}

#[test]
fn a_link_whose_pin_is_gone_is_hung_again() {
    let bed = Bed::new();
    bed.bind(VIP.into());
    let fence = fence(&bed, Hook::Tcx);
    std::fs::remove_dir_all(bed.pin_dir.join("layout1/links")).unwrap();
    let client = bed.client();
    assert!(client.reaches(VIP.into()), "without its link there is no fence");
    let (fence, missing) = unguarded(&bed, fence);
    assert_eq!(missing, ["eth0"]);
    let (_, seen_to) = attach_all(&bed, fence);
    assert_eq!(seen_to, ["eth0"]);
    assert!(!client.asks(VIP.into(), PATIENCE));
}

#[test]
fn a_new_interface_is_unguarded_until_it_is_seen_to() {
    for hook in HOOKS {
        let bed = Bed::new();
        let fence = fence(&bed, hook);
        bed.wire("eth1");
        let (fence, missing) = unguarded(&bed, fence);
        assert_eq!(missing, ["eth1"]);
        let (fence, seen_to) = attach_all(&bed, fence);
        assert_eq!(seen_to, ["eth1"]);

        // Gone and come again, under the same name and maybe the same number.
        bed::ip(&format!("-n {} link del eth1", bed.director));
        bed.wire("eth1");
        let (_, seen_to) = attach_all(&bed, fence);
        assert_eq!(seen_to, ["eth1"], "{hook:?}");
    }
}

#[test]
fn a_vip_is_fenced_on_a_macvlan_a_bridge_and_a_device_without_ethernet() {
    let bed = Bed::new();
    let director = &bed.director;
    bed::ip(&format!("-n {director} link add mv0 link eth0 type macvlan mode bridge"));
    bed::ip(&format!("-n {director} tuntap add tun0 mode tun"));
    bed.wire("port0");
    bed::ip(&format!("-n {director} link add br0 type bridge"));
    bed::ip(&format!("-n {director} link set port0 master br0"));
    for device in ["mv0", "tun0", "br0"] {
        bed::ip(&format!("-n {director} link set {device} up"));
    }
    drop(fence(&bed, Hook::Tcx));
    let mut gate = Gate::adopt(&bed.pin_dir).unwrap();

    bed::ip(&format!("-n {director} addr add {VIP}/24 dev mv0"));
    let client = bed.client();
    assert!(!client.asks(VIP.into(), PATIENCE));
    gate.open_until(SLOT, later()).unwrap();
    assert!(client.reaches(VIP.into()));
    gate.close(SLOT).unwrap();
    bed::ip(&format!("-n {director} addr del {VIP}/24 dev mv0"));

    bed::ip(&format!("-n {director} addr add {VIP}/24 dev br0"));
    let client = bed::Client::new(&bed.client, "port0");
    assert!(!client.asks(VIP.into(), PATIENCE));
    gate.open_until(SLOT, later()).unwrap();
    assert!(client.reaches(VIP.into()));
    gate.close(SLOT).unwrap();
    bed::ip(&format!("-n {director} addr del {VIP}/24 dev br0"));

    // Nothing reads the tun device, but what is routed to it passes its egress.
    bed::ip(&format!("-n {director} addr add {VIP}/32 dev tun0"));
    bed::ip(&format!("-n {director} route add 10.99.0.0/24 dev tun0 src {DIRECTOR_IP}"));
    let before = gate.drops().unwrap().egress.ipv4;
    for (source, lost) in [(DIRECTOR_IP, 0), (VIP, 1)] {
        bed.on_director(move || {
            let socket = std::net::UdpSocket::bind((source, 0)).unwrap();
            let _ = socket.send_to(b"?", "10.99.0.1:9");
        });
        assert_eq!(gate.drops().unwrap().egress.ipv4 - before, lost, "from {source}");
    }
}

fn pinned(path: &Path, value: u64) -> HashMap<MapData, u32, u64> {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut map = HashMap::<MapData, u32, u64>::create(16, 0).unwrap();
    map.insert(SLOT, value, 0).unwrap();
    map.pin(path).unwrap();
    HashMap::try_from(aya::maps::Map::HashMap(MapData::from_pin(path).unwrap())).unwrap()
}

#[test]
fn a_map_of_another_shape_is_refused_and_left_alone() {
    let bed = Bed::new();
    drop(fence(&bed, Hook::Tcx));
    let path = bed.pin_dir.join("layout1/deadlines");
    std::fs::remove_file(&path).unwrap();
    let map = pinned(&path, 5);
    let pin_dir = bed.pin_dir.clone();
    let error = bed.on_director(move || Fence::open(&pin_dir)).unwrap_err();
    assert!(matches!(error, FenceError::Foreign { .. }), "{error}");
    assert_eq!(map.get(&SLOT, 0).unwrap(), 5);
    assert!(Gate::adopt(&bed.pin_dir).is_err());
}

#[test]
fn a_fence_of_another_layout_is_closed_and_goes_once_this_one_has_its_vips() {
    let bed = Bed::new();
    drop(fence(&bed, Hook::Tcx));
    // As an older version would have left it: its programs hang, its lease is open.
    let older = bed.pin_dir.join("layout0");
    std::fs::rename(bed.pin_dir.join("layout1"), &older).unwrap();
    bed.bind(VIP.into());
    let client = bed.client();
    let mut map = HashMap::<MapData, u32, u64>::try_from(aya::maps::Map::HashMap(
        MapData::from_pin(older.join("deadlines")).unwrap(),
    ))
    .unwrap();
    map.insert(SLOT, later(), 0).unwrap();
    assert!(client.reaches(VIP.into()));

    let pin_dir = bed.pin_dir.clone();
    let mut next = bed.on_director(move || {
        let mut fence = Fence::open(&pin_dir).unwrap();
        fence.attach_all().unwrap();
        fence
    });
    assert!(!client.asks(VIP.into(), PATIENCE), "the older fence is closed, and still there");
    let (gate, older_is_there) = bed.on_director(move || {
        next.set_vips(&[(VIP.into(), SLOT)].into()).unwrap();
        (next.gate().unwrap(), older.exists())
    });
    assert!(!older_is_there);
    assert!(!client.asks(VIP.into(), PATIENCE));
    let mut gate = gate;
    gate.open_until(SLOT, later()).unwrap();
    assert!(client.reaches(VIP.into()));
}

#[test]
fn a_place_that_can_hold_no_pins_is_refused_with_a_reason() {
    let error = Fence::open(Path::new("/tmp/leasehold")).unwrap_err().to_string();
    assert!(error.contains("/sys/fs/bpf"), "{error}");
    let error = Fence::open(Path::new("/sys/fs/bpf/a.b")).unwrap_err().to_string();
    assert!(error.contains("dot"), "{error}");
    let absent = Gate::adopt(Path::new("/sys/fs/bpf/leasehold/none")).unwrap_err().to_string();
    assert!(absent.contains("no fence"), "{absent}");
}
