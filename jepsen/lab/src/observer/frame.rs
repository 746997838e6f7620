//! The witness's own codec: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861) frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Mac;

pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// A frame in which somebody says that an address is his.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    /// The address he claims.
    pub(crate) address: IpAddr,
    /// Where he says it lives.
    pub(crate) mac: Mac,
    /// Whom he tells, if it is an answer; nobody in particular, if it is an announcement.
    pub(crate) asker: Option<IpAddr>,
}

/// "Who has `target`? Tell `asker`."
pub(crate) fn arp_request(from: Mac, asker: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(from.0);
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(from.0);
    frame.extend(asker.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// The same question for IPv6, to the target's solicited-node group.
pub(crate) fn solicitation(from: Mac, asker: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1]);
    message.extend(from.0);
    let sum = checksum(asker, group, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = vec![0x33, 0x33, 0xff, a, b, c];
    frame.extend(from.0);
    frame.extend(ETHERTYPE_IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6, 255]);
    frame.extend(asker.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// What a frame claims, if anything.
pub(crate) fn parse(frame: &[u8]) -> Option<Saying> {
    let source = Mac(field(frame, 6)?);
    match u16::from_be_bytes(field(frame, 12)?) {
        ETHERTYPE_ARP => parse_arp(frame.get(14..)?),
        ETHERTYPE_IPV6 => parse_advertisement(frame.get(14..)?, source),
        _ => None,
    }
}

fn parse_arp(arp: &[u8]) -> Option<Saying> {
    let [0, 1, 8, 0, 6, 4, 0, operation @ (1 | 2)] = field(arp, 0)? else { return None };
    let sender = Ipv4Addr::from(field::<4>(arp, 14)?);
    let target = Ipv4Addr::from(field::<4>(arp, 24)?);
    let answers = operation == 2 && target != sender && !target.is_unspecified();
    // A probe for a free address (RFC 5227) claims nothing.
    (!sender.is_unspecified()).then_some(Saying {
        address: sender.into(),
        mac: Mac(field(arp, 8)?),
        asker: answers.then_some(target.into()),
    })
}

fn parse_advertisement(packet: &[u8], source: Mac) -> Option<Saying> {
    let [first, _, _, _, _, _, ICMPV6, 255] = field(packet, 0)? else { return None };
    if first >> 4 != 6 {
        return None;
    }
    let to = Ipv6Addr::from(field::<16>(packet, 24)?);
    let message = packet.get(40..)?;
    if *message.first()? != ADVERTISEMENT {
        return None;
    }
    let target = Ipv6Addr::from(field::<16>(message, 8)?);
    Some(Saying {
        address: target.into(),
        mac: link_layer_option(message.get(24..)?).unwrap_or(source),
        asker: (!to.is_multicast()).then_some(to.into()),
    })
}

fn link_layer_option(mut options: &[u8]) -> Option<Mac> {
    loop {
        let [kind, length] = field(options, 0)?;
        if length == 0 {
            return None;
        }
        if kind == 2 {
            return field(options, 2).map(Mac);
        }
        options = options.get(usize::from(length) * 8..)?;
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The Internet checksum over ICMPv6's pseudo-header and message.
fn checksum(source: Ipv6Addr, target: Ipv6Addr, message: &[u8]) -> u16 {
    let mut covered = Vec::with_capacity(40 + message.len());
    covered.extend(source.octets());
    covered.extend(target.octets());
    covered.extend((message.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, ICMPV6]);
    covered.extend(message);
    let sum: u32 = covered
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const HIM: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn reply(operation: u8, claimed: [u8; 4], told: [u8; 4]) -> Vec<u8> {
        let mut frame = arp_request(HIM, claimed.into(), told.into());
        frame[21] = operation;
        frame
    }

    #[test]
    fn an_answer_names_the_asker_and_an_announcement_does_not() {
        let vip = IpAddr::from([10, 0, 0, 100]);
        let asker = IpAddr::from([10, 0, 0, 254]);
        let answer = parse(&reply(2, [10, 0, 0, 100], [10, 0, 0, 254]));
        assert_eq!(answer, Some(Saying { address: vip, mac: HIM, asker: Some(asker) }));
        for operation in [1, 2] {
            let announcement = parse(&reply(operation, [10, 0, 0, 100], [10, 0, 0, 100]));
            assert_eq!(announcement, Some(Saying { address: vip, mac: HIM, asker: None }));
        }
        assert_eq!(parse(&reply(1, [0, 0, 0, 0], [10, 0, 0, 100])), None);
    }

    #[test]
    fn a_solicitation_checks_out_and_is_no_claim() {
        let (asker, target) = ("fe80::a:1".parse().unwrap(), "fd00::64".parse().unwrap());
        let frame = solicitation(ME, asker, target);
        assert_eq!(parse(&frame), None);
        let group: Ipv6Addr = "ff02::1:ff00:64".parse().unwrap();
        assert_eq!(frame[38..54], group.octets());
        assert_eq!(checksum(asker, group, &frame[54..]), 0);
    }

    #[test]
    fn truncated_frames_are_ignored_at_any_length() {
        let whole = reply(2, [10, 0, 0, 100], [10, 0, 0, 254]);
        assert!((0..whole.len()).all(|length| parse(&whole[..length]).is_none()));
    }
}
