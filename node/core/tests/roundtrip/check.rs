//! Checks without an error, of every kind.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{
    Check, CheckKind, Config, Digest, DnsCheck, Family, FileCheck, HttpCheck, HttpVersion,
    MiscCheck, Pattern, RecordType, Script, SmtpCheck, SmtpHost, Sni, Source, TlsCheck, Trust,
    UdpCheck, UdpReply, Url, Weight,
};

use super::draw::Draw;
use super::valid::{byte, script};

pub(super) struct Around<'a> {
    pub(super) config: &'a Config,
    /// The real server's.
    pub(super) address: SocketAddr,
    pub(super) family: Family,
}

impl Around<'_> {
    fn other(&self, draw: &mut Draw) -> SocketAddr {
        let last = byte(draw);
        let ip: IpAddr = match self.family {
            Family::Inet => [192, 168, 250, last].into(),
            Family::Inet6 => format!("fd00:bb::{last:x}").parse().unwrap(),
        };
        let ip = if draw.flag() { ip } else { self.address.ip() };
        SocketAddr::new(ip, draw.pick(&[81, 8443]))
    }

    fn source(&self, draw: &mut Draw) -> Source {
        Source {
            bindto: draw.some(|_| match self.family {
                Family::Inet => [192, 168, 251, 1].into(),
                Family::Inet6 => "fd00:cc::1".parse().unwrap(),
            }),
            bind_port: draw.some(|draw| u16::try_from(draw.number(1, 65535)).unwrap()),
            bind_if: draw.some(|_| "eth1".to_owned()),
            fwmark: draw.some(|draw| draw.number(1, 99)),
        }
    }
}

pub(super) fn check(draw: &mut Draw, around: &Around<'_>) -> Check {
    let kind = kind(draw, around);
    let mut check = Check::new(kind);
    check.delay_loop_ms = draw.pick(&[60_000, 60_000, 5000, 2500, 86_400_000]);
    if matches!(check.kind, CheckKind::Dns(_)) {
        check.delay_before_retry_ms = check.delay_loop_ms;
    }
    check.retry = draw.some(|draw| draw.number(0, 9)).unwrap_or(check.retry);
    check.delay_before_retry_ms =
        draw.some(|draw| draw.number(0, 9000)).unwrap_or(check.delay_before_retry_ms);
    check.warmup_ms =
        draw.some(|draw| draw.number(0, 9000)).filter(|ms| *ms != check.delay_loop_ms);
    check.rise = draw.pick(&[1, 1, 1, 2]);
    check.alpha = draw.rarely(4);
    check.log_all_failures = draw.rarely(4);
    let of_network = !matches!(check.kind, CheckKind::Misc(_) | CheckKind::File(_));
    if of_network {
        check.connect_timeout_ms = draw.pick(&[5000, 5000, 1, 3_600_000]);
        place(draw, around, &mut check);
    }
    check
}

fn place(draw: &mut Draw, around: &Around<'_>, check: &mut Check) {
    if matches!(&check.kind, CheckKind::Smtp(smtp) if !smtp.hosts.is_empty()) {
        return;
    }
    let is_ping = check.kind == CheckKind::Ping;
    check.source = around.source(draw);
    check.connect = draw.some(|draw| around.other(draw));
    if is_ping {
        check.source.bind_port = None;
        let other = check.connect.filter(|connect| connect.ip() != around.address.ip());
        check.connect = other.map(|connect| SocketAddr::new(connect.ip(), 0));
    } else if around.address.port() == 0 {
        check.connect = check.connect.or_else(|| Some(around.other(draw)));
    }
}

/// As the document has it: what comes from around is not said again.
pub(super) fn canonical(check: &mut Check, alpha: bool, host: Option<&String>) {
    check.alpha &= !alpha;
    if let CheckKind::Http(http) = &mut check.kind {
        for url in &mut http.urls {
            url.virtualhost = url.virtualhost.take().filter(|own| Some(own) != host);
        }
    }
    if let CheckKind::Misc(misc) = &mut check.kind {
        misc.timeout_ms = misc.timeout_ms.filter(|timeout| *timeout != check.delay_loop_ms);
    }
}

fn kind(draw: &mut Draw, around: &Around<'_>) -> CheckKind {
    match draw.number(0, 7) {
        0 => CheckKind::Tcp,
        1 => CheckKind::Ping,
        2 => CheckKind::Http(http(draw)),
        3 => CheckKind::Smtp(smtp(draw, around)),
        4 => CheckKind::Dns(DnsCheck {
            record: draw.pick(&[RecordType::Soa, RecordType::A, RecordType::Dnskey]),
            name: draw.pick(&[".", "example.org", "_a.example.org"]).to_owned(),
        }),
        5 => CheckKind::Udp(udp(draw)),
        6 => CheckKind::Misc(misc(draw)),
        _ => match around.config.files.keys().next() {
            Some(file) => CheckKind::File(FileCheck {
                track_file: file.clone(),
                weight: Weight {
                    weight: draw.some(|draw| i16::try_from(draw.number(0, 32_767)).unwrap()),
                    reverse: draw.rarely(3),
                },
            }),
            None => CheckKind::Tcp,
        },
    }
}

fn http(draw: &mut Draw) -> HttpCheck {
    let versions =
        [HttpVersion::Http10, HttpVersion::Http10Close, HttpVersion::Http11, HttpVersion::Http2];
    let mut urls = vec![url(draw)];
    urls.extend(draw.list(1, |draw, _| url(draw)));
    HttpCheck {
        urls,
        version: draw.pick(&versions),
        tls: draw.some(|draw| TlsCheck {
            sni: draw.pick(&[Sni::Off, Sni::Virtualhost, Sni::Name("a.example.org".to_owned())]),
            trust: draw.pick(&[Trust::Any, Trust::System, Trust::File("/etc/ca.pem".to_owned())]),
        }),
    }
}

fn url(draw: &mut Draw) -> Url {
    let paths = ["/", "/a?b=c&d", "/a#b", "/{id}!", "/it's", "/a\\b", "/é"];
    let patterns = [
        "ok",
        "(?-u)it w.rks",
        "(?is-u)a.b",
        "a$",
        "(?m-u)^a$",
        "\"q\" \\d+ {2}",
        "(?-u)\\[\\$_\\]",
        "a\\n?$",
        "(?i:A)b",
        "é+",
        "(?-u)\\xff",
        "[a&&b]",
        "#!",
        "a\nb\tc",
    ];
    let offsets = draw.pick(&[(0, 0), (3, 0), (0, 1), (3, 9)]);
    Url {
        path: draw.pick(&paths).to_owned(),
        status_code: draw.pick(&[vec![], vec![(200, 200)], vec![(200, 204), (301, 302)]]),
        virtualhost: draw
            .some(|draw| draw.pick(&["www.example.org", "other.example.org:81"]).to_owned()),
        digest: draw.some(|draw| match draw.flag() {
            false => Digest::Md5([byte(draw); 16]),
            true => Digest::Sha256([byte(draw); 32]),
        }),
        regex: draw.some(|draw| Pattern {
            regex: draw.pick(&patterns).to_owned(),
            no_match: draw.flag(),
            min_offset: offsets.0,
            max_offset: offsets.1,
        }),
    }
}

fn smtp(draw: &mut Draw, around: &Around<'_>) -> SmtpCheck {
    let hosts = match draw.rarely(3) || around.address.port() == 0 {
        true => draw.number(2, 3),
        false => 0,
    };
    let host =
        |draw: &mut Draw| SmtpHost { connect: around.other(draw), source: around.source(draw) };
    SmtpCheck {
        helo_name: draw.pick(&["smtpchecker.keepalived.org", "lb.example.org"]).to_owned(),
        hosts: (0..hosts).map(|_| host(draw)).collect(),
    }
}

fn udp(draw: &mut Draw) -> UdpCheck {
    let begins = draw.pick(&[vec![], vec![Some(0), Some(10)], vec![None, Some(1), None, None]]);
    UdpCheck {
        payload: draw.pick(&[vec![], vec![0, 255], vec![7; 600]]),
        reply: draw.some(|draw| UdpReply {
            begins,
            min_length: draw.number(0, 100),
            max_length: draw.pick(&[255, 100, 65_507]),
        }),
    }
}

fn misc(draw: &mut Draw) -> MiscCheck {
    let Script { user, group, .. } = script(draw);
    let command = draw.pick(&["/bin/true", "/usr/bin/test -e '/run/a b'", "/bin/true \"a\""]);
    MiscCheck {
        script: Script { command: command.to_owned(), user, group },
        timeout_ms: draw.some(|draw| draw.pick(&[1000, 4000, 1500, 86_400_000])),
        dynamic: draw.flag(),
    }
}
