//! The fence on the real kernel: what passes, what does not, and until when.

mod bed;

use std::net::IpAddr;
use std::time::Duration;

use bed::{Bed, GROUP, VIP, VIP6, ahead};
use leasehold_dataplane::fence::{Fence, boot_now};

const SOON: Duration = Duration::from_millis(300);
/// Long enough for an answer over a veth on a busy machine to have come.
const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_bound_vip_is_silent_until_it_is_opened_and_after_its_deadline() {
    let bed = Bed::new();
    let fence = bed.fence();
    let client = bed.client();
    for vip in [IpAddr::from(VIP), IpAddr::from(VIP6)] {
        bed.bind(vip);
        assert!(!client.asks(vip, PATIENCE), "{vip} answers and was never opened");
        let mut gate = fence.gate().unwrap();
        let deadline = ahead(SOON);
        gate.open_until(GROUP, deadline).unwrap();
        assert!(client.asks(vip, SOON), "{vip} is open and does not answer");
        while boot_now() < deadline {
            client.asks(vip, Duration::from_millis(5));
        }
        assert!(!client.asks(vip, PATIENCE), "{vip} answers after its deadline");
        gate.open_until(GROUP, ahead(LONG)).unwrap();
        assert!(client.asks(vip, LONG), "{vip} was opened again and does not answer");
        gate.close(GROUP).unwrap();
        assert!(!client.asks(vip, PATIENCE), "{vip} answers though it was closed");
    }
    let drops = fence.gate().unwrap().drops().unwrap();
    assert!(drops.ingress.arp >= 3 && drops.ingress.neighbour_discovery >= 3, "{drops:?}");
    drop(Fence::remove(&bed.pin_dir));
}
