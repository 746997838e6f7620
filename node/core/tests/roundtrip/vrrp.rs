//! Instances without an error: each on its own number and network.

use std::net::IpAddr;

use leasehold_model::{
    Adverts, Auth, AuthType, Candidate, Config, Family, ForeignMaster, Instance, Network, Route,
    RouteKind, Rule, Scope, Vip, Vmac, VrrpVersion,
};

use super::draw::Draw;
use super::valid::{DIRECTORS, byte, garp, notify, tracking};

const NAMES: [&str; 4] = ["VI_1", "db-2", "web.3", "x:4"];

pub(super) fn instances(draw: &mut Draw, config: &mut Config) {
    let count = usize::try_from(draw.number(0, 4)).unwrap();
    for (number, name) in (1u8..).zip(NAMES).take(count) {
        let one = instance(draw, config, number);
        config.instances.insert(name.to_owned(), one);
    }
}

fn address(family: Family, number: u8, third: u8, last: u8) -> IpAddr {
    match family {
        Family::Inet => [10, number, third, last].into(),
        Family::Inet6 => format!("fd00:{number:x}:{third:x}::{last:x}").parse().unwrap(),
    }
}

fn instance(draw: &mut Draw, config: &Config, number: u8) -> Instance {
    let family = draw.pick(&[Family::Inet, Family::Inet, Family::Inet6]);
    let interface = draw.pick(&["eth0", "eth1"]);
    let mut one = Instance::new(number * 50, interface);
    for director in DIRECTORS.iter().take(usize::try_from(draw.number(0, 3)).unwrap()) {
        one.directors.insert((*director).to_owned(), Candidate::default());
    }
    one.priority = draw.some(|draw| u8::try_from(draw.number(1, 254)).unwrap());
    timing(draw, &mut one);
    one.authentication = draw.some(|draw| Auth {
        auth_type: draw.pick(&[AuthType::Pass, AuthType::Ah]),
        auth_pass: draw.pick(&["1111", "pa ss", "#!{}", "a\\b", "a'b", "a\"b", "$_PWD"]).to_owned(),
    });
    one.preempt = !draw.rarely(3);
    one.preempt_delay_ms = draw.some(|draw| draw.number(1, 1_000_000)).unwrap_or(0);
    let more = draw.list(2, |draw, index| {
        vip(draw, address(family, number, 0, u8::try_from(index).unwrap() + 2), interface)
    });
    one.virtual_ipaddress = vec![vip(draw, address(family, number, 0, 1), interface)];
    one.virtual_ipaddress.extend(more);
    one.virtual_ipaddress_excluded = draw.list(2, |draw, index| {
        let family = draw.pick(&[Family::Inet, Family::Inet6]);
        vip(draw, address(family, number, 1, u8::try_from(index).unwrap() + 1), interface)
    });
    one.virtual_routes = draw.list(2, |draw, index| route(draw, family, number, index));
    one.virtual_rules = draw.list(2, |draw, _| rule(draw, family, number));
    candidates(draw, family, number, &mut one);
    adverts(draw, family, number, &mut one);
    one.garp = garp(draw);
    one.tracking = tracking(draw, config);
    one.dont_track_primary = draw.rarely(4);
    one.notify = notify(draw);
    canonical(&mut one);
    one
}

/// The one form of what directors say that the instance says already.
fn canonical(one: &mut Instance) {
    let all = one.notify.clone();
    for own in one.directors.values_mut().map(|one| &mut one.notify) {
        for (own, (_, all)) in own.scripts_mut().into_iter().zip(all.scripts()) {
            *own = own.take().filter(|own| Some(own) != all.as_ref());
        }
        own.notify_priority_changes =
            own.notify_priority_changes.filter(|own| Some(*own) != all.notify_priority_changes);
        own.smtp_alert = own.smtp_alert.filter(|own| Some(*own) != all.smtp_alert);
    }
}

fn timing(draw: &mut Draw, one: &mut Instance) {
    let fraction = draw.rarely(3);
    one.advert_int_ms = match fraction {
        true => draw.number(1, 4095) * 10,
        false => draw.number(1, 40) * 1000,
    };
    let may_be_2 = one.advert_int_ms.is_multiple_of(1000);
    one.adverts.version = match draw.number(0, 3) {
        1 => Some(VrrpVersion::V3),
        2 if may_be_2 => Some(VrrpVersion::V2),
        _ => None,
    };
}

fn candidates(draw: &mut Draw, family: Family, number: u8, one: &mut Instance) {
    for (last, own) in (1u8..).zip(one.directors.values_mut()) {
        own.priority = draw.some(|draw| u8::try_from(draw.number(1, 255)).unwrap());
        own.interface = draw.some(|draw| draw.pick(&["ens3", "ens4"]).to_owned());
        own.src_ip = draw.some(|_| address(family, number, 200, last));
        own.notify = notify(draw);
    }
}

fn adverts(draw: &mut Draw, family: Family, number: u8, one: &mut Instance) {
    let version = match family {
        Family::Inet => one.adverts.version,
        Family::Inet6 => one.adverts.version.filter(|one| *one == VrrpVersion::V3),
    };
    let own: Vec<IpAddr> = one.directors.values().filter_map(|own| own.src_ip).collect();
    let mut unicast_peer = Vec::new();
    // Over IPv6 each needs its own, also one that the instance does not name.
    let all_known = own.len() == DIRECTORS.len();
    if draw.flag() && (family == Family::Inet || all_known) {
        unicast_peer.extend(own.iter().filter(|_| !draw.rarely(4)).copied());
        unicast_peer.extend(draw.list(1, |_, _| address(family, number, 200, 9)));
        unicast_peer.sort();
    }
    one.use_vmac = draw.some(|draw| Vmac {
        name: draw.some(|draw| format!("{}{number}", draw.pick(&["mac", "a:b", "m c"]))),
        xmit_base: draw.flag() || !unicast_peer.is_empty(),
    });
    one.use_vmac.iter_mut().for_each(|vmac| {
        vmac.name = vmac.name.take().filter(|name| !name.contains(' '));
    });
    let groups: &[&str] = match family {
        Family::Inet => &["224.0.0.50", "239.1.1.1"],
        Family::Inet6 => &["ff02::50", "ff05::50"],
    };
    one.adverts = Adverts {
        version,
        mcast_dst_ip: draw.some(|draw| draw.pick(groups).parse().unwrap()),
        unicast_peer,
        unicast_ttl: draw.some(byte),
        v3_checksum_as_v2: draw.rarely(4),
        foreign_master: draw.pick(&[
            ForeignMaster::Warn,
            ForeignMaster::Warn,
            ForeignMaster::Yield,
        ]),
    };
}

fn vip(draw: &mut Draw, address: IpAddr, interface: &str) -> Vip {
    let v4 = address.is_ipv4();
    let longest = if v4 { 32 } else { 128 };
    let dev = draw.some(|draw| draw.pick(&[interface, "eth5"]).to_owned());
    let on = dev.clone().unwrap_or_else(|| interface.to_owned());
    Vip {
        address,
        prefix: u8::try_from(draw.number(1, longest)).unwrap(),
        label: draw
            .some(|draw| draw.pick(&[":1", ":web", "", "{}"]))
            .filter(|_| v4)
            .map(|rest| format!("{on}{rest}")),
        dev,
        broadcast: draw.some(|draw| [10, 0, 0, byte(draw)].into()).filter(|_| v4),
        scope: draw.pick(&[Scope::Global, Scope::Global, Scope::Site, Scope::Link, Scope::Host]),
    }
}

fn route(draw: &mut Draw, family: Family, number: u8, index: u32) -> Route {
    let third = u8::try_from(index).unwrap() + 100;
    let network = match family {
        Family::Inet => Network { address: [10, number, third, 0].into(), prefix: 24 },
        Family::Inet6 => {
            let address = format!("fd00:{number:x}:{third:x}::").parse().unwrap();
            Network { address, prefix: 48 }
        }
    };
    let kind = draw.pick(&[
        RouteKind::Unicast,
        RouteKind::Unicast,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
    ]);
    let leads = kind == RouteKind::Unicast;
    let via = draw.some(|_| address(family, number, 0, 254)).filter(|_| leads);
    let dev = draw.some(|draw| draw.pick(&["eth0", "eth1", "eth5"]).to_owned());
    let dev = dev.filter(|_| leads).or_else(|| (leads && via.is_none()).then(|| "eth0".to_owned()));
    let whole = via.is_some() && draw.rarely(3);
    Route {
        to: Some(network).filter(|_| !whole),
        kind,
        via,
        onlink: via.is_some() && dev.is_some() && draw.flag(),
        dev,
        src: draw.some(|_| address(family, number, 0, 1)).filter(|_| leads),
        table: draw.some(|draw| draw.pick(&[100, 254, 70_000])),
        metric: Some(u32::from(number) * 100 + index),
        scope: draw.some(|draw| draw.pick(&[Scope::Global, Scope::Link])),
        mtu: draw.some(|draw| draw.number(1280, 1500)),
    }
}

fn rule(draw: &mut Draw, family: Family, number: u8) -> Rule {
    let host = |draw: &mut Draw| {
        let prefix = if family == Family::Inet { 32 } else { 128 };
        Network { address: address(family, number, 0, byte(draw)), prefix }
    };
    let from = host(draw);
    Rule {
        from: Some(from).filter(|_| !draw.rarely(4) || family == Family::Inet6),
        to: draw.some(host),
        iif: draw.some(|draw| draw.pick(&["eth0", "eth1"]).to_owned()),
        oif: draw.some(|draw| draw.pick(&["eth0", "eth5"]).to_owned()),
        fwmark: draw.some(|draw| draw.number(0, 99)),
        priority: draw.some(|draw| draw.number(1, 32_000)),
        table: draw.pick(&[100, 254, 70_000]),
    }
}
