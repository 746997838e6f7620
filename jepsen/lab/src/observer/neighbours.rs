//! Questions of ARP and neighbour discovery, each from another asker, so that an answer tells
//! which question it belongs to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Settings;
use super::asking::{Event, Medium};
use super::frame::{Saying, arp_request, solicitation};
use super::observation::{Answer, Claim};
use super::wire::Wire;
use crate::{Result, now_ns};

#[derive(Debug)]
pub(super) struct Neighbours {
    wire: Wire,
    askers: Vec<Ipv4Addr>,
    /// How many questions each address has had.
    asked: BTreeMap<IpAddr, usize>,
    /// When each address was last asked for by each asker.
    sent_ns: BTreeMap<(IpAddr, IpAddr), u64>,
}

impl Neighbours {
    pub(super) fn open(settings: &Settings) -> Result<Neighbours> {
        let wire = Wire::open(&settings.interface, &settings.vips)?;
        let (askers, asked, sent_ns) = (settings.askers.clone(), BTreeMap::new(), BTreeMap::new());
        Ok(Neighbours { wire, askers, asked, sent_ns })
    }
}

impl Medium for Neighbours {
    fn ask(&mut self, vip: IpAddr) -> Result<Option<u64>> {
        let asked = self.asked.entry(vip).or_default();
        let turn = *asked % self.askers.len();
        *asked += 1;
        let (asker, frame) = match vip {
            IpAddr::V4(vip) => {
                let asker = self.askers[turn];
                (IpAddr::V4(asker), arp_request(self.wire.mac(), asker, vip))
            }
            IpAddr::V6(vip) => {
                // Link-local addresses that no host forms: theirs come from a MAC or at random.
                let asker = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa5c, turn as u16);
                (IpAddr::V6(asker), solicitation(self.wire.mac(), asker, vip))
            }
        };
        let sent_ns = now_ns();
        let sent = self.wire.send(vip, &frame)?;
        Ok(sent.then(|| {
            self.sent_ns.insert((vip, asker), sent_ns);
            sent_ns
        }))
    }

    fn listen(&mut self, heard: &mut Vec<(IpAddr, Event)>) -> Result<()> {
        for (Saying { address, mac, asker }, received_ns) in self.wire.drain()? {
            let question = asker.and_then(|asker| self.sent_ns.get(&(address, asker)));
            let event = match question {
                Some(sent_ns) => Event::Answered(Answer { sent_ns: *sent_ns, received_ns, mac }),
                None => Event::Claimed(Claim { received_ns, mac }),
            };
            heard.push((address, event));
        }
        Ok(())
    }

    fn frames_lost(&self) -> u64 {
        self.wire.frames_lost()
    }
}
