//! The group's timing, checked, and what becomes of it in openraft's terms.

use std::time::Duration;

use leasehold_model::NodeId;
use openraft::{Config, SnapshotPolicy, StepDownPolicy};

/// Entries between two snapshots. The state is small and the log short.
const SNAPSHOT_EVERY: u64 = 2000;
/// Entries kept behind a snapshot, for a peer that was away for a while.
const ENTRIES_KEPT: u64 = 1000;
/// How long one attempt to bring a snapshot over may take.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(60);

/// Who this node is and the timing of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub node: NodeId,
    pub name: String,
    /// host:port that the peers reach this node at.
    pub address: String,
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

/// Timing that cannot work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("these Raft timings cannot work: {0}")]
pub struct SettingsError(String);

impl GroupSettings {
    /// The longest that followers take to notice a leader's loss.
    #[must_use]
    pub fn leader_loss_detection(&self) -> Duration {
        self.election_max * 2
    }

    pub(super) fn config(&self) -> Result<Config, SettingsError> {
        let (heartbeat, min, max) =
            (millis(self.heartbeat), millis(self.election_min), millis(self.election_max));
        if heartbeat == 0 {
            return Err(SettingsError("the heartbeat is shorter than 1 ms".to_owned()));
        }
        Config {
            cluster_name: "leasehold".to_owned(),
            heartbeat_interval: heartbeat,
            election_timeout_min: min,
            election_timeout_max: max,
            install_snapshot_timeout: millis(SNAPSHOT_LIMIT),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: ENTRIES_KEPT,
            replication_lag_threshold: SNAPSHOT_EVERY * 2,
            // A peer that is back should hear of it soon: connecting again is cheap.
            backoff: "20ms 50ms 100ms ...250ms".to_owned(),
            // Latency of one entry counts here, not the number of entries in a second.
            broadcast_submitted_on_append: Some(true),
            enable_pre_vote: Some(true),
            // A leader that restarts forgot what it approved: it must be elected anew.
            enable_leader_restore: Some(false),
            // Leadership moves when this node's daemon says so, after its leases are settled.
            removed_leader_step_down: StepDownPolicy::Never,
            quorum_loss_probe_interval: Some(max * 2),
            allow_log_reversion: Some(false),
            ..Config::default()
        }
        .validate()
        .map_err(|error| SettingsError(error.to_string()))
    }

    /// How long one proof of leadership may take.
    pub(super) fn confirm_limit(&self) -> Duration {
        self.election_max
    }

    /// How long a proposal may take, an election on the way included.
    pub(super) fn propose_limit(&self) -> Duration {
        self.election_max * 4 + Duration::from_secs(1)
    }

    /// How long an election that was asked for may take.
    pub(super) fn election_limit(&self) -> Duration {
        self.election_max * 2
    }

    /// How long a connection may be silent before it is given up.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.election_max.max(self.heartbeat * 4)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
