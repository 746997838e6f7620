//! Virtual MAC addresses on the real kernel: VIPs answer with them, behind the fence.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it too")]

mod bed;

use std::net::IpAddr;
use std::time::Duration;

use bed::{Bed, GROUP, LIFETIME, VIP, VIP6, ahead, binding, ip, run};
use leasehold_dataplane::frame::Mac;
use leasehold_dataplane::macvlan::Macvlans;
use leasehold_dataplane::plan::{Binding, Macvlan};
use leasehold_dataplane::{Kernel, strip};

const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

fn macvlan(name: &str, number: u8) -> Macvlan {
    let mac = Mac([0, 0, 0x5e, 0, number, 51]);
    Macvlan { name: name.to_owned(), parent: "eth0".to_owned(), mac }
}

/// By the frame's own header.
fn sender(frame: &[u8]) -> Mac {
    Mac(frame[6..12].try_into().unwrap())
}

fn links(director: &str) -> String {
    run("ip", &format!("-n {director} -o link show type macvlan"))
}

#[test]
fn a_vip_on_it_answers_with_its_address_and_only_while_the_fence_is_open() {
    let bed = Bed::new();
    let (client, pin_dir) = (bed.client(), bed.pin_dir.clone());
    bed::block_in_ns(&bed.director, || async move {
        let mut kernel = Kernel::open(Some(&pin_dir)).unwrap();
        kernel.fence_vips(&[(VIP.into(), GROUP), (VIP6.into(), GROUP)].into()).unwrap();
        let wanted = [macvlan("vrrp.51", 1), macvlan("vrrp6.51", 2)];
        let macvlans = Macvlans::new(kernel.addresses.handle().clone());
        let failed = macvlans.reconcile(&wanted).await.unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        let on = |address: IpAddr, one: &Macvlan| Binding {
            interface: one.name.clone(),
            ..binding(address)
        };
        let group = [on(VIP.into(), &wanted[0]), on(VIP6.into(), &wanted[1])];
        kernel.take(&group, LIFETIME).await.unwrap();
        let vips: [IpAddr; 2] = [VIP.into(), VIP6.into()];
        for vip in vips {
            assert!(!client.asks(vip, PATIENCE), "{vip} is bound, and not open");
        }
        let mut gate = kernel.fence.as_ref().unwrap().gate().unwrap();
        gate.open_until(GROUP, ahead(LONG)).unwrap();
        kernel.announce(&group).await.unwrap();
        for (vip, one) in vips.into_iter().zip(&wanted) {
            let claim = client.hears(LONG, |frame| client.is_claim(frame, vip)).unwrap();
            assert_eq!(sender(&claim), one.mac, "{vip} is announced from there");
        }
        for (vip, one) in vips.into_iter().zip(&wanted) {
            assert!(client.reaches(vip), "{vip}");
            client.send(&match vip {
                IpAddr::V4(vip) => client.arp_question(vip),
                IpAddr::V6(vip) => client.nd_question(vip),
            });
            let answers = |frame: &[u8]| client.is_answer(frame, vip);
            let answer = client.hears(LONG, answers).unwrap();
            assert_eq!(sender(&answer), one.mac, "{vip}");
            // And nobody else does.
            let other = client.hears(PATIENCE, |frame| answers(frame) && sender(frame) != one.mac);
            assert!(other.is_none(), "{vip}: {other:?}");
        }
    });
}

#[test]
fn what_is_there_stays_and_what_is_not_wanted_goes_but_nobody_elses() {
    let bed = Bed::new();
    let director = bed.director.clone();
    bed::block_in_ns(&bed.director, || async move {
        let theirs = "address 00:00:5e:00:01:09 type macvlan mode private";
        ip(&format!("-n {director} link add link eth0 name vrrp.9 {theirs}"));
        ip(&format!("-n {director} link add link eth0 name mv1 group 76 type macvlan"));
        let kernel = Kernel::open(None).unwrap();
        let macvlans = Macvlans::new(kernel.addresses.handle().clone());
        let both = [macvlan("vrrp.51", 1), macvlan("web0", 2)];
        assert!(macvlans.reconcile(&both).await.unwrap().is_empty());
        let made = links(&director);
        assert!(made.contains(" vrrp.51@eth0") && made.contains(" web0@eth0"), "{made}");
        let shown = run("ip", &format!("-n {director} -d link show vrrp.51"));
        assert!(shown.contains("macvlan mode private"), "{shown}");
        assert!(shown.contains("00:00:5e:00:01:33") && shown.contains(",UP"), "{shown}");
        let addresses = run("ip", &format!("-n {director} addr show dev web0"));
        assert!(!addresses.contains("inet"), "it gives itself none: {addresses}");
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}")).unwrap()
        };
        for (name, value) in [
            ("vrrp.51/arp_ignore", "1"),
            ("vrrp.51/accept_local", "1"),
            ("vrrp.51/promote_secondaries", "1"),
            ("eth0/arp_ignore", "1"),
            ("eth0/arp_filter", "1"),
        ] {
            assert_eq!(read(name).trim(), value, "{name}");
        }

        assert!(macvlans.reconcile(&both).await.unwrap().is_empty());
        let numbers = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
        };
        assert_eq!(numbers(&links(&director)), numbers(&made), "none was made anew");
        ip(&format!("-n {director} link set web0 down"));
        let orphan = Macvlan { parent: "none0".to_owned(), ..macvlan("vrrp.52", 1) };
        let taken = macvlan("vrrp.9", 1);
        let wanted = [both[1].clone(), orphan, taken];
        let failed = macvlans.reconcile(&wanted).await.unwrap();
        assert_eq!(failed.len(), 2, "{failed:?}");
        let left = links(&director);
        assert!(!left.contains("vrrp.51") && left.contains(",UP"), "{left}");

        strip(None, &[].into()).await.unwrap();
        let left = links(&director);
        assert!(left.contains("vrrp.9@") && left.contains("mv1@"), "{left}");
        assert_eq!(left.lines().count(), 2, "{left}");
    });
}
