//! Virtual servers without an error, and their groups.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{
    Config, Damping, Family, Forward, Fwmark, GroupEntry, Persistence, Protocol, RealServer,
    Scheduler, SchedulerFlags, Service, SorryServer, Tunnel, TunnelChecksum, TunnelKind,
    VirtualServer, VirtualServerGroup,
};

use super::check::{self, Around};
use super::draw::Draw;
use super::valid::{byte, script};

const GROUPS: [&str; 2] = ["web", "the group"];

/// Addresses that no instance has and no director: they are routed there.
pub(super) fn groups(draw: &mut Draw, config: &mut Config) {
    for (third, name) in (1u8..).zip(GROUPS).take(usize::from(byte(draw) % 3)) {
        let family = draw.pick(&[Family::Inet, Family::Inet6]);
        let entries = (0..draw.number(1, 4)).map(|index| entry(draw, family, third, index));
        let group = VirtualServerGroup { entries: entries.collect() };
        config.groups.insert(name.to_owned(), group);
    }
}

fn entry(draw: &mut Draw, family: Family, third: u8, index: u32) -> GroupEntry {
    let fourth = u8::try_from(index).unwrap();
    if draw.rarely(3) {
        return GroupEntry::Fwmark(Fwmark { mark: u32::from(third) * 100 + index + 1, family });
    }
    let (from, to) = (byte(draw), draw.number(0, 5));
    let to = u8::try_from(to).unwrap();
    let (first, last): (IpAddr, IpAddr) = match family {
        Family::Inet if draw.rarely(4) => {
            ([172, 16 + third, fourth * 2, 250].into(), [172, 16 + third, fourth * 2 + 1, 3].into())
        }
        Family::Inet => (
            [172, 16 + third, fourth * 2, from].into(),
            [172, 16 + third, fourth * 2, from + to].into(),
        ),
        Family::Inet6 => {
            let start = format!("fd00:ff:{third:x}:{fourth:x}::{from:x}");
            let end = format!("fd00:ff:{third:x}:{fourth:x}::{:x}", from + to);
            (start.parse().unwrap(), end.parse().unwrap())
        }
    };
    GroupEntry::Range { first, last, port: draw.pick(&[80, 443, 0]) }
}

pub(super) fn servers(draw: &mut Draw, config: &mut Config) {
    let instances: Vec<String> = config.instances.keys().cloned().collect();
    let mut services = Vec::new();
    for (number, name) in (1u16..).zip(&instances) {
        for vip in config.instances[name].vips().map(|vip| vip.address).collect::<Vec<_>>() {
            if draw.flag() {
                let port = draw.pick(&[80, 53, 0, 8000 + number]);
                services.push((Service::Address(SocketAddr::new(vip, port)), None));
            }
        }
    }
    let home = |draw: &mut Draw| (!instances.is_empty()).then(|| draw.pick(&instances));
    for mark in 1..=draw.number(0, 2) {
        let family = draw.pick(&[Family::Inet, Family::Inet6]);
        services.push((Service::Fwmark(Fwmark { mark, family }), home(draw)));
    }
    for name in config.groups.keys().cloned().collect::<Vec<_>>() {
        services.push((Service::Group(name), home(draw)));
    }
    for (number, (service, instance)) in (1u8..).zip(services) {
        let one = server(draw, config, service, instance, number);
        config.virtual_servers.push(one);
    }
    config.virtual_servers.sort_by_key(VirtualServer::key);
}

fn family_of(config: &Config, service: &Service) -> Family {
    match service {
        Service::Address(at) => Family::of(at.ip()),
        Service::Fwmark(one) => one.family,
        Service::Group(name) => match &config.groups[name].entries[0] {
            GroupEntry::Range { first, .. } => Family::of(*first),
            GroupEntry::Fwmark(one) => one.family,
        },
    }
}

fn server(
    draw: &mut Draw,
    config: &Config,
    service: Service,
    instance: Option<String>,
    number: u8,
) -> VirtualServer {
    let family = family_of(config, &service);
    let any_port = match &service {
        Service::Address(at) => at.port() == 0,
        Service::Fwmark(_) => false,
        Service::Group(name) => {
            let zero = |one: &GroupEntry| matches!(one, GroupEntry::Range { port: 0, .. });
            config.groups[name].entries.iter().any(zero)
        }
    };
    let is_mark = matches!(service, Service::Fwmark(_));
    let protocol = draw.pick(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let mut one = VirtualServer::new(service, if is_mark { Protocol::Tcp } else { protocol });
    let udp = one.protocol == Protocol::Udp || is_mark;
    one.instance = instance;
    one.lb_algo = draw.pick(&Scheduler::ALL);
    one.lb_kind = forward(draw);
    let hashes = matches!(one.lb_algo, Scheduler::Sh | Scheduler::Mh);
    one.flags = SchedulerFlags {
        flag_1: draw.rarely(3) && hashes,
        flag_2: draw.rarely(3) && hashes,
        flag_3: draw.rarely(5),
    };
    one.ops = udp && draw.rarely(3);
    let persistence = draw.some(|draw| persistence(draw, family, &one));
    one.persistence = persistence.or(any_port.then_some(Persistence {
        timeout_s: 300,
        granularity: None,
        engine: None,
    }));
    rest(draw, &mut one);
    let port = match one.service {
        Service::Address(at) => Some(at.port()),
        Service::Fwmark(_) | Service::Group(_) => None,
    };
    reals(draw, config, &mut one, (family, port), number);
    canonical(&mut one);
    one
}

fn persistence(draw: &mut Draw, family: Family, one: &VirtualServer) -> Persistence {
    let longest = if family == Family::Inet { 32 } else { 128 };
    let is_group = matches!(one.service, Service::Group(_));
    let prefix = draw.some(|draw| u8::try_from(draw.number(1, longest)).unwrap());
    let sip = one.protocol == Protocol::Udp;
    Persistence {
        timeout_s: draw.number(1, 2_147_483),
        granularity: prefix.filter(|prefix| is_group || u32::from(*prefix) != longest),
        engine: draw.some(|_| "sip".to_owned()).filter(|_| sip),
    }
}

fn rest(draw: &mut Draw, one: &mut VirtualServer) {
    one.virtualhost = draw.some(|draw| draw.pick(&["www.example.org", "a#b"]).to_owned());
    one.alpha = draw.rarely(3);
    one.omega = draw.rarely(3);
    one.inhibit_on_failure = draw.rarely(3);
    one.quorum = draw.pick(&[1, 1, 2, 5]);
    one.hysteresis = draw.number(0, one.quorum - 1);
    one.quorum_up = draw.some(script);
    one.quorum_down = draw.some(script);
    one.ha_suspend = draw.rarely(3);
    one.smtp_alert = draw.some(Draw::flag);
    one.damping = draw.some(|_| Damping { flaps: 3, window_ms: 60_000, hold_ms: 300_000 });
}

fn forward(draw: &mut Draw) -> Forward {
    let checksums = [TunnelChecksum::Nocsum, TunnelChecksum::Csum, TunnelChecksum::Remcsum];
    let kind = match draw.number(0, 4) {
        0 | 1 => return Forward::Nat,
        2 => return Forward::Dr,
        3 => TunnelKind::Ipip,
        _ => draw.pick(&[TunnelKind::Gre, TunnelKind::Gue { port: 6081 }]),
    };
    Forward::Tun(Tunnel { kind, checksum: draw.pick(&checksums) })
}

fn reals(
    draw: &mut Draw,
    config: &Config,
    one: &mut VirtualServer,
    (family, port): (Family, Option<u16>),
    number: u8,
) {
    let at = |last: u8| -> IpAddr {
        match family {
            Family::Inet => [192, 168, number, last].into(),
            Family::Inet6 => format!("fd00:aa:{number:x}::{last:x}").parse().unwrap(),
        }
    };
    // Only NAT changes the port; a mark, or a group, has several.
    let port_of = |draw: &mut Draw, kind: Forward| match (kind, port) {
        (Forward::Nat, _) => draw.pick(&[80, 8080, 0]),
        (Forward::Dr | Forward::Tun(_), Some(port)) => port,
        (Forward::Dr | Forward::Tun(_), None) => 0,
    };
    one.real_servers = draw.list(3, |draw, index| {
        let lb_kind = draw.some(forward);
        let port = port_of(draw, lb_kind.unwrap_or(one.lb_kind));
        let address = SocketAddr::new(at(u8::try_from(index).unwrap() + 1), port);
        let mut real = RealServer::new(address);
        real.weight = u16::try_from(draw.pick(&[1, 0, 5, 65_535])).unwrap();
        real.lb_kind = lb_kind;
        real.uthreshold = draw.pick(&[0, 100]);
        real.lthreshold = draw.pick(&[0, 50]).min(real.uthreshold);
        real.inhibit_on_failure = draw.rarely(3);
        real.alpha = draw.rarely(3);
        real.virtualhost = draw.some(|_| "shop.example.org".to_owned());
        real.notify_up = draw.some(script);
        real.notify_down = draw.some(script);
        real.smtp_alert = draw.some(Draw::flag);
        let around = Around { config, address, family };
        real.checks = draw.list(3, |draw, _| check::check(draw, &around));
        real
    });
    one.sorry_server = draw.some(|draw| {
        let lb_kind = draw.some(forward);
        let port = port_of(draw, lb_kind.unwrap_or(one.lb_kind));
        SorryServer { address: SocketAddr::new(at(200), port), lb_kind, inhibit: draw.flag() }
    });
}

/// What each has that the virtual server has too is left out.
fn canonical(one: &mut VirtualServer) {
    let kind = one.lb_kind;
    for real in &mut one.real_servers {
        real.lb_kind = real.lb_kind.filter(|own| *own != kind);
        real.alpha &= !one.alpha;
        real.inhibit_on_failure &= !one.inhibit_on_failure;
        real.virtualhost =
            real.virtualhost.take().filter(|own| Some(own) != one.virtualhost.as_ref());
        let alpha = one.alpha || real.alpha;
        let host = real.virtualhost.as_ref().or(one.virtualhost.as_ref());
        real.checks.iter_mut().for_each(|check| check::canonical(check, alpha, host));
    }
    if let Some(sorry) = &mut one.sorry_server {
        sorry.lb_kind = sorry.lb_kind.filter(|own| *own != kind);
    }
}
