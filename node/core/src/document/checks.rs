//! What checks have where nothing is said, and the limits of what may be said. As keepalived's.

use std::ops::RangeInclusive;

use leasehold_model::{Check, CheckKind, HttpVersion, RecordType};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
    Smtp,
    Dns,
    Udp,
    Ping,
    Misc,
    File,
}

/// A day at most: what is checked less often is not watched.
pub(crate) const DELAY_LOOP_MS: RangeInclusive<u32> = 10..=86_400_000;
pub(crate) const CONNECT_TIMEOUT_MS: RangeInclusive<u32> = 1..=3_600_000;
pub(crate) const DELAY_BEFORE_RETRY_MS: RangeInclusive<u32> = 0..=86_400_000;
pub(crate) const WARMUP_MS: RangeInclusive<u32> = 0..=86_400_000;
pub(crate) const RETRY: RangeInclusive<u32> = 0..=1_000_000;
pub(crate) const RISE: RangeInclusive<u32> = 1..=1_000_000;
pub(crate) const SCRIPT_TIMEOUT_MS: RangeInclusive<u32> = 1..=86_400_000;
/// The most that a datagram carries over IPv4 (RFC 768 in RFC 791).
pub(crate) const MAX_DATAGRAM: u32 = 65_507;
/// keepalived's `max_reply_length`.
pub(crate) const DEFAULT_REPLY_LENGTH: u32 = 255;
/// What a number in a file is multiplied with.
pub(crate) const MAX_FILE_WEIGHT: i16 = i16::MAX;
/// keepalived's `SMTP_DEFAULT_HELO`.
pub(crate) const HELO_NAME: &str = "smtpchecker.keepalived.org";
/// keepalived's `DNS_DEFAULT_NAME`: the root.
pub(crate) const DNS_NAME: &str = ".";

pub(crate) const FLAPS: RangeInclusive<u32> = 1..=1_000;
pub(crate) const WINDOW_MS: RangeInclusive<u32> = 1..=86_400_000;
pub(crate) const HOLD_MS: RangeInclusive<u32> = 1..=86_400_000;

const STATUS_CODES: RangeInclusive<u16> = 100..=999;

/// keepalived's `type`.
pub(crate) const RECORDS: [(&str, RecordType); 9] = [
    ("A", RecordType::A),
    ("NS", RecordType::Ns),
    ("CNAME", RecordType::Cname),
    ("SOA", RecordType::Soa),
    ("MX", RecordType::Mx),
    ("TXT", RecordType::Txt),
    ("AAAA", RecordType::Aaaa),
    ("RRSIG", RecordType::Rrsig),
    ("DNSKEY", RecordType::Dnskey),
];
/// keepalived's `http_protocol`, and HTTP/2.
pub(crate) const VERSIONS: [(&str, HttpVersion); 4] = [
    ("1.0", HttpVersion::Http10),
    ("1.0C", HttpVersion::Http10Close),
    ("1.1", HttpVersion::Http11),
    ("2", HttpVersion::Http2),
];

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Http,
        Self::Smtp,
        Self::Dns,
        Self::Udp,
        Self::Ping,
        Self::Misc,
        Self::File,
    ];

    pub(crate) fn of(kind: &CheckKind) -> Self {
        match kind {
            CheckKind::Tcp => Self::Tcp,
            CheckKind::Http(_) => Self::Http,
            CheckKind::Smtp(_) => Self::Smtp,
            CheckKind::Dns(_) => Self::Dns,
            CheckKind::Udp(_) => Self::Udp,
            CheckKind::Ping => Self::Ping,
            CheckKind::Misc(_) => Self::Misc,
            CheckKind::File(_) => Self::File,
        }
    }

    /// The `type` in TOML.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Smtp => "smtp",
            Self::Dns => "dns",
            Self::Udp => "udp",
            Self::Ping => "ping",
            Self::Misc => "misc",
            Self::File => "file",
        }
    }

    /// What one is called in a message.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Tcp => "a tcp check",
            Self::Http => "an http check",
            Self::Smtp => "an smtp check",
            Self::Dns => "a dns check",
            Self::Udp => "a udp check",
            Self::Ping => "a ping check",
            Self::Misc => "a misc check",
            Self::File => "a file check",
        }
    }

    /// Whether it sends packets anywhere.
    pub(crate) fn is_of_network(self) -> bool {
        !matches!(self, Self::Misc | Self::File)
    }

    /// Whether what it asks has a port.
    pub(crate) fn has_port(self) -> bool {
        self.is_of_network() && self != Self::Ping
    }
}

/// One of this kind that says no more than how often it is made.
pub(crate) fn defaults(kind: CheckKind, delay_loop_ms: u32) -> Check {
    let mut check = Check { delay_loop_ms, ..Check::new(kind) };
    if matches!(check.kind, CheckKind::Dns(_)) {
        // `default_delay_before_retry = 0; /* This will default to delay_loop */` (check_dns.c)
        check.delay_before_retry_ms = delay_loop_ms;
    }
    check
}

/// How often a check is made where nothing is said.
pub(crate) fn default_delay_loop_ms() -> u32 {
    Check::new(CheckKind::Tcp).delay_loop_ms
}

/// `200` or `200-299`.
pub(crate) fn status_codes(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.parse().ok().filter(|code| STATUS_CODES.contains(code));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some((first, last))
}

/// A name that a question to a name server can carry: labels of 1 to 63 bytes, 253 in all
/// (RFC 1035, 2.3.4). `.` is the root.
pub(crate) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic())
    };
    name == DNS_NAME || (name.len() <= 253 && name.split('.').all(label))
}

/// The one form of a domain name: without the dot at its end. Two dots there are no name, and stay
/// to be refused.
pub(crate) fn domain(name: &str) -> String {
    match name.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(name) {
        "" => DNS_NAME.to_owned(),
        name => name.to_owned(),
    }
}
