//! How a real server is found to be up: keepalived's checkers.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::track::Weight;
use crate::virtual_server::{Script, is_not, is_one, is_zero, one};

/// One checker of one real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub kind: CheckKind,
    /// Whom it asks. Absent: the real server's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Source::is_any")]
    pub source: Source,
    /// Milliseconds from one check to the next.
    pub delay_loop_ms: u32,
    /// For the connection, and for each answer on it.
    pub connect_timeout_ms: u32,
    /// Failures in a row, after the first, before the real server counts as down.
    pub retry: u32,
    pub delay_before_retry_ms: u32,
    /// The first check comes at a random time within it. Absent: as `delay_loop_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_ms: Option<u32>,
    /// Successes in a row before a real server that is down counts as up; 1 or more.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub rise: u32,
    /// It counts as failed until it has passed.
    #[serde(default, skip_serializing_if = "is_not")]
    pub alpha: bool,
    /// Each failure is logged, not only those that change something.
    #[serde(default, skip_serializing_if = "is_not")]
    pub log_all_failures: bool,
}

impl Check {
    /// One with keepalived's times for its kind.
    #[must_use]
    pub fn new(kind: CheckKind) -> Self {
        let (retry, delay_before_retry_ms) = match &kind {
            CheckKind::Http(_) => (1, 3_000),
            CheckKind::Dns(_) => (3, 60_000),
            CheckKind::Misc(_) | CheckKind::File(_) => (0, 1_000),
            CheckKind::Tcp | CheckKind::Smtp(_) | CheckKind::Udp(_) | CheckKind::Ping => (1, 1_000),
        };
        Self {
            kind,
            connect: None,
            source: Source::default(),
            delay_loop_ms: 60_000,
            connect_timeout_ms: 5_000,
            retry,
            delay_before_retry_ms,
            warmup_ms: None,
            rise: 1,
            alpha: false,
            log_all_failures: false,
        }
    }
}

impl CheckKind {
    /// The file that it goes by, if it is a `FILE_CHECK`.
    #[must_use]
    pub fn file(&self) -> Option<&FileCheck> {
        match self {
            Self::File(file) => Some(file),
            Self::Tcp
            | Self::Http(_)
            | Self::Smtp(_)
            | Self::Dns(_)
            | Self::Udp(_)
            | Self::Ping
            | Self::Misc(_) => None,
        }
    }
}

/// Where the questions of a check come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bindto: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_if: Option<String>,
    /// The mark of its packets, for rules of routing and of packet filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fwmark: Option<u32>,
}

impl Source {
    /// Whether it says nothing: the routes decide.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// `TCP_CHECK`: the connection is accepted.
    Tcp,
    /// `HTTP_GET` and `SSL_GET`: every page is answered as it should be.
    Http(HttpCheck),
    /// `SMTP_CHECK`: each host greets, and takes HELO and QUIT.
    Smtp(SmtpCheck),
    /// `DNS_CHECK`: a question is answered without an error.
    Dns(DnsCheck),
    /// `UDP_CHECK`: a datagram is answered, or at least not refused.
    Udp(UdpCheck),
    /// `PING_CHECK`: an ICMP echo comes back.
    Ping,
    /// `MISC_CHECK`: a program ends well.
    Misc(MiscCheck),
    /// `FILE_CHECK`: the number in a file that is tracked (`vrrp_track_file`).
    File(FileCheck),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Asked in this order, each over a connection of its own.
    pub urls: Vec<Url>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: HttpVersion,
    /// Present: over TLS, as `SSL_GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
}

/// keepalived's `http_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    #[default]
    #[serde(rename = "1.0")]
    Http10,
    /// HTTP/1.0 with `Connection: close`.
    #[serde(rename = "1.0C")]
    Http10Close,
    #[serde(rename = "1.1")]
    Http11,
    #[serde(rename = "2")]
    Http2,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsCheck {
    #[serde(default, skip_serializing_if = "is_default")]
    pub sni: Sni,
    #[serde(default, skip_serializing_if = "is_default")]
    pub trust: Trust,
}

/// The name that the server is asked for in the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sni {
    /// None is sent.
    #[default]
    Off,
    /// The page's virtual host (`enable_sni`).
    Virtualhost,
    /// `sni_name`.
    Name(String),
}

/// What the server's certificate must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Any will do, also an expired one: as keepalived.
    #[default]
    Any,
    /// Valid now, for the name of the handshake or else the address, by an authority that this
    /// machine trusts.
    System,
    /// The same, by an authority in this PEM file.
    File(String),
}

/// One page, and the answer that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Url {
    pub path: String,
    /// Ranges of status codes, both ends included. Empty: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status_code: Vec<(u16, u16)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    /// Of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<Pattern>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// As `genhash` prints it.
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

/// What a body must match, or must not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// With its options inside, as `(?i)`.
    pub regex: String,
    /// `regex_no_match`: the page is good where it does not match.
    #[serde(default, skip_serializing_if = "is_not")]
    pub no_match: bool,
    /// The match begins at this byte or later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_offset: u32,
    /// The match begins before this byte. 0: no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_offset: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpCheck {
    pub helo_name: String,
    /// Each must answer. Empty: the one that the check connects to.
    #[serde(default, rename = "host", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<SmtpHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpHost {
    pub connect: SocketAddr,
    #[serde(default, skip_serializing_if = "Source::is_any")]
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsCheck {
    pub record: RecordType,
    /// A domain name; `.` is the root.
    pub name: String,
}

/// What a name server can be asked for, as keepalived's `type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    A,
    Ns,
    Cname,
    #[default]
    Soa,
    Mx,
    Txt,
    Aaaa,
    Rrsig,
    Dnskey,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpCheck {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload: Vec<u8>,
    /// Absent: silence is well, and only an ICMP error is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<UdpReply>,
}

/// The reply that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpReply {
    /// How it begins; an absent nibble may be any. Two nibbles are a byte.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<Option<u8>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_length: u32,
    pub max_length: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiscCheck {
    pub script: Script,
    /// Absent: as `delay_loop_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// An exit status from 2 to 255 is well, and sets the weight to itself less 2.
    #[serde(default, skip_serializing_if = "is_not")]
    pub dynamic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCheck {
    /// The name of a `track_file`.
    pub track_file: String,
    /// The number times this is added to the real server's weight. 0: down unless the number is 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: Weight,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
