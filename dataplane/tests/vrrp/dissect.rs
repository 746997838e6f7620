//! What tshark makes of every kind of advert: an authority that we did not write.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use leasehold_dataplane::vrrp::Transmitter;
use leasehold_dataplane::vrrp::wire::{Auth, GROUP4, PROTOCOL, PROTOCOL_AH, VrrpVersion};

use super::bed::{Client, run};
use super::{Kind, PATIENCE, Wire};

/// Whether an Ethernet frame carries VRRP, or an authentication header.
pub(crate) fn is_advert(frame: &[u8]) -> bool {
    let protocol = match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(14 + 9),
        Some([0x86, 0xdd]) => frame.get(14 + 6),
        _ => None,
    };
    matches!(protocol, Some(&(PROTOCOL | PROTOCOL_AH)))
}

/// Writes frames as a capture file of libpcap's first format, for Ethernet.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let header = [0xa1b2_c3d4_u32, 2 << 16 | 4, 0, 0, 65_535, 1];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    for (second, frame) in (0_u32..).zip(frames) {
        let length = frame.len() as u32;
        bytes.extend([second, 0, length, length].iter().flat_map(|word| word.to_be_bytes()));
        bytes.extend(frame);
    }
    fs::write(path, bytes).expect("room for a capture");
}

/// Sends each kind by the real sockets, and returns what was on the wire.
fn frames(kinds: &[Kind]) -> Vec<Vec<u8>> {
    let wire = Wire::new();
    let witness = Client::new(wire.two.namespace(), "eth0");
    let mut frames = Vec::new();
    let send = || {
        let mut transmitter = Transmitter::open().expect("sockets");
        for Kind { name, advert, source, to, manner } in kinds {
            transmitter.send("eth0", *source, &[*to], advert, *manner).expect(name);
            frames.push(witness.hears(PATIENCE, is_advert).expect(name));
        }
    };
    wire.one.enter(send).expect("a thread in the host");
    frames
}

/// One line for each packet: the fields, with a tab between.
fn tshark(path: &Path, more: &str) -> Vec<String> {
    let read = format!("-n -r {} -o ip.check_checksum:TRUE {more}", path.display());
    run("tshark", &read).lines().map(str::to_owned).collect()
}

/// What `tshark -T fields` prints of each, in this order.
const FIELDS: &str = "-T fields -E separator=| -E occurrence=f -e vrrp.version -e vrrp.type \
                      -e vrrp.virt_rtr_id -e vrrp.prio -e vrrp.addr_count \
                      -e vrrp.checksum.status -e vrrp.adver_int -e vrrp.short_adver_int \
                      -e vrrp.auth_type -e vrrp.auth_string -e ah.sequence -e ah.spi \
                      -e ip.src -e ip.dst -e ip.ttl -e ip.dsfield \
                      -e ipv6.src -e ipv6.dst -e ipv6.hlim -e ipv6.tclass \
                      -e vrrp.ip_addr -e vrrp.ipv6_addr";

/// The line that is right for this kind.
fn fields(kind: &Kind) -> String {
    let Kind { advert, source, to, manner, .. } = kind;
    let none = String::new;
    let v2 = advert.version == VrrpVersion::V2;
    let (seconds, hundredths) = (advert.interval_ms / 1000, advert.interval_ms / 10);
    let (auth, password, sequence) = match advert.auth {
        Auth::None if !v2 => (none(), none(), none()),
        Auth::None => ("0".to_owned(), none(), none()),
        Auth::Pass(_) => ("1".to_owned(), "secret".to_owned(), none()),
        Auth::Ah { sequence, .. } => ("2".to_owned(), none(), sequence.to_string()),
    };
    let index = if sequence.is_empty() { none() } else { "0x0a4e0001".to_owned() };
    let of = |wanted: bool, text: String| if wanted { text } else { none() };
    let (v4, v6) = (to.is_ipv4(), to.is_ipv6());
    let ends = |wanted| {
        [source.to_string(), to.to_string(), manner.ttl.to_string()].map(|it| of(wanted, it))
    };
    let ([src4, dst4, ttl], [src6, dst6, hops]) = (ends(v4), ends(v6));
    let address = advert.addresses[0].to_string();
    [
        if v2 { "2" } else { "3" }.to_owned(),
        "1".to_owned(),
        advert.vrid.to_string(),
        advert.priority.to_string(),
        advert.addresses.len().to_string(),
        "1".to_owned(),
        of(v2, seconds.to_string()),
        of(!v2, hundredths.to_string()),
        auth,
        password,
        sequence,
        index,
        src4,
        dst4,
        ttl,
        of(v4, "0xc0".to_owned()),
        src6,
        dst6,
        hops,
        of(v6, "0x000000c0".to_owned()),
        of(v4, address.clone()),
        of(v6, address),
    ]
    .join("|")
}

#[test]
fn tshark_reads_every_kind_and_has_nothing_to_remark() {
    let kinds = Kind::all();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("adverts.pcap");
    write_pcap(&path, &frames(&kinds));

    let remarks = tshark(&path, "-Y _ws.expert");
    assert_eq!(remarks, [""; 0], "expert information");
    let malformed = tshark(&path, "-Y _ws.malformed");
    assert_eq!(malformed, [""; 0]);

    let lines = tshark(&path, FIELDS);
    assert_eq!(lines, kinds.iter().map(fields).collect::<Vec<_>>());
}

/// They may be fragmented, so no two in a row share an identification: an authenticated one is
/// not numbered by the kernel.
#[test]
fn every_datagram_has_a_number_of_its_own() {
    let kinds: Vec<_> = Kind::all().into_iter().filter(|kind| kind.to.is_ipv4()).collect();
    let numbers: BTreeSet<_> = frames(&kinds).iter().map(|it| [it[18], it[19]]).collect();
    assert_eq!(numbers.len(), kinds.len());
    assert!(!numbers.contains(&[0, 0]));
}

/// Or the first test would show nothing.
#[test]
fn tshark_does_remark_on_a_wrong_checksum() {
    let kind = Kind::new("v3", VrrpVersion::V3, Auth::None, GROUP4.into());
    let mut frames = frames(&[kind]);
    frames[0][14 + 20 + 7] ^= 1;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("wrong.pcap");
    write_pcap(&path, &frames);
    assert_eq!(tshark(&path, "-Y _ws.expert").len(), 1);
}
