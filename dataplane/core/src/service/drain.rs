//! Real servers on their way out: no new connections, and time to finish those that are there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::{BootNanos, Protocol};

use super::Key;

/// Connections to one real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Established.
    pub active: u32,
    /// Opening, or closed and not forgotten yet. With UDP, all.
    pub inactive: u32,
}

/// A connection that was being opened is established by then, or never.
const OPENING: Duration = Duration::from_secs(3);

/// Since when each real server that left the configuration takes nothing new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    since: BTreeMap<(Key, SocketAddr), BootNanos>,
    /// Those that the pass under way has met.
    met: BTreeMap<(Key, SocketAddr), BootNanos>,
}

impl Drains {
    /// Whether the real server can go: nobody uses it, or it had `at_most`.
    pub(super) fn is_over(
        &mut self,
        key: Key,
        address: SocketAddr,
        load: Load,
        now: BootNanos,
        at_most: Duration,
    ) -> bool {
        let since = self.since.get(&(key, address)).copied().unwrap_or(now);
        let spent = now.since(since);
        let counts_established = match key {
            Key::Address { protocol, .. } => protocol != Protocol::Udp,
            Key::Fwmark { .. } => false,
        };
        let idle = load.active == 0 && load.inactive == 0;
        let finished = counts_established && load.active == 0 && spent >= OPENING;
        let over = idle || finished || spent >= at_most;
        if !over {
            self.met.insert((key, address), since);
        }
        over
    }

    /// Ends a pass: what it did not meet drains no more.
    pub(super) fn finish_pass(&mut self) {
        self.since = std::mem::take(&mut self.met);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }
}
