//! How a real server is found to be up: keepalived's checkers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One checker of one real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub kind: CheckKind,
    /// Absent: the real server's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddr>,
    /// Milliseconds from one check to the next.
    pub delay_loop_ms: u32,
    pub connect_timeout_ms: u32,
    /// Failures in a row, after the first, before the real server counts as down.
    pub retry: u32,
    pub delay_before_retry_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// `TCP_CHECK`: the connection is accepted.
    Tcp,
    /// `HTTP_GET`: every page is answered as it should be.
    Http { urls: Vec<Url> },
}

/// One page, and the answer that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Url {
    pub path: String,
    /// Ranges of status codes, both ends included. Empty: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status_code: Vec<(u16, u16)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
}
