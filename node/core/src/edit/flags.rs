//! ipvsadm's options, short and long, and those of instances; what each says in the document.

use super::{Noun, Verb};

/// An option of the command line.
#[derive(Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    /// What its value is called; absent: it has none.
    pub value: Option<&'static str>,
    /// What is meant where the value may be left out, and is.
    pub otherwise: Option<&'static str>,
    /// It may be given several times.
    pub many: bool,
    pub help: &'static str,
    pub(super) means: Means,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A virtual server, of this protocol.
    Service(&'static str),
    Fwmark,
    /// The mark is IPv6's.
    Inet6,
    RealServer,
    /// A setting has its value.
    Key(&'static str),
    /// A setting has this value.
    Fixed(&'static str, &'static str),
}

use Means::{Fixed, Fwmark, Inet6, Key, RealServer, Service};

const fn flag(long: &'static str, short: Option<char>, means: Means, help: &'static str) -> Flag {
    Flag { long, short, value: None, otherwise: None, many: false, help, means }
}

impl Flag {
    const fn takes(mut self, value: &'static str) -> Self {
        self.value = Some(value);
        self
    }

    const fn or(mut self, otherwise: &'static str) -> Self {
        self.otherwise = Some(otherwise);
        self
    }

    const fn many(mut self) -> Self {
        self.many = true;
        self
    }
}

const SERVICE: [Flag; 5] = [
    flag("tcp-service", Some('t'), Service("tcp"), "The virtual server's address and port")
        .takes("ADDRESS[:PORT]"),
    flag("udp-service", Some('u'), Service("udp"), "The same, of UDP").takes("ADDRESS[:PORT]"),
    flag("sctp-service", None, Service("sctp"), "The same, of SCTP").takes("ADDRESS[:PORT]"),
    flag("fwmark-service", Some('f'), Fwmark, "The mark of its packets").takes("MARK"),
    flag("ipv6", Some('6'), Inet6, "The mark is of IPv6"),
];

const BALANCING: [Flag; 6] = [
    flag("scheduler", Some('s'), Key("lb_algo"), "lb_algo=SCHEDULER").takes("SCHEDULER"),
    // ipvsadm's default, which is not keepalived's 360.
    flag("persistent", Some('p'), Key("persistence_timeout"), "persistence_timeout=SECONDS")
        .takes("SECONDS")
        .or("300"),
    flag("netmask", Some('M'), Key("persistence_granularity"), "persistence_granularity=NETMASK")
        .takes("NETMASK"),
    flag("ops", Some('o'), Fixed("ops", "true"), "ops=true: each packet is scheduled alone"),
    flag("sched-flags", Some('b'), Key("flags"), "flags=FLAGS, with commas").takes("FLAGS"),
    flag("pe", None, Key("persistence_engine"), "persistence_engine=ENGINE").takes("ENGINE"),
];

const FORWARDING: [Flag; 8] = [
    flag("gatewaying", Some('g'), Fixed("lb_kind", "DR"), "lb_kind=DR"),
    flag("ipip", Some('i'), Fixed("lb_kind", "TUN"), "lb_kind=TUN"),
    flag("masquerading", Some('m'), Fixed("lb_kind", "NAT"), "lb_kind=NAT"),
    flag("tun-type", None, Key("lb_kind.tunnel"), "lb_kind.tunnel=TYPE: ipip, gue or gre")
        .takes("TYPE"),
    flag("tun-port", None, Key("lb_kind.port"), "lb_kind.port=PORT, of gue").takes("PORT"),
    flag("tun-nocsum", None, Fixed("lb_kind.checksum", "nocsum"), "lb_kind.checksum=nocsum"),
    flag("tun-csum", None, Fixed("lb_kind.checksum", "csum"), "lb_kind.checksum=csum"),
    flag("tun-remcsum", None, Fixed("lb_kind.checksum", "remcsum"), "lb_kind.checksum=remcsum"),
];

const REAL: [Flag; 1] =
    [flag("real-server", Some('r'), RealServer, "The real server's address and port")
        .takes("ADDRESS[:PORT]")];

const WEIGHING: [Flag; 3] = [
    flag("weight", Some('w'), Key("weight"), "weight=N").takes("N"),
    flag("u-threshold", Some('x'), Key("uthreshold"), "uthreshold=N").takes("N"),
    flag("l-threshold", Some('y'), Key("lthreshold"), "lthreshold=N").takes("N"),
];

const INSTANCE: [Flag; 4] = [
    flag("vip", None, Key("virtual_ipaddress"), "A virtual address; may be given several times")
        .takes("ADDRESS[/PREFIX][@INTERFACE]")
        .many(),
    flag("vrid", None, Key("virtual_router_id"), "virtual_router_id=N").takes("N"),
    flag(
        "interface",
        None,
        Key("interface"),
        "interface=NAME; that of the first --vip, if not given",
    )
    .takes("NAME"),
    flag("priority", None, Key("priority"), "priority=N, or of each director")
        .takes("N|DIRECTOR=N,..."),
];

static NAMED_SERVER: &[&[Flag]] = &[&SERVICE];
static SERVER: &[&[Flag]] = &[&SERVICE, &BALANCING, &FORWARDING];
static NAMED_REAL: &[&[Flag]] = &[&SERVICE, &REAL];
static REAL_SERVER: &[&[Flag]] = &[&SERVICE, &REAL, &FORWARDING, &WEIGHING];
static OF_INSTANCE: &[&[Flag]] = &[&INSTANCE];

/// The options of a command.
pub fn flags(noun: Noun, verb: Verb) -> impl Iterator<Item = &'static Flag> {
    let all: &'static [&'static [Flag]] = match (noun, verb) {
        (Noun::VirtualServer, Verb::Rm) => NAMED_SERVER,
        (Noun::VirtualServer, Verb::Add | Verb::Set) => SERVER,
        (Noun::RealServer, Verb::Rm) => NAMED_REAL,
        (Noun::RealServer, Verb::Add | Verb::Set) => REAL_SERVER,
        (Noun::Instance, Verb::Add | Verb::Set) => OF_INSTANCE,
        (Noun::Instance, Verb::Rm) | (Noun::Global, _) => &[],
    };
    all.iter().copied().flatten()
}
