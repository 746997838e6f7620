//! How long things take: the settings a lease's safety and a fail-over's speed follow from.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use leasehold_model::BootNanos;
use serde::{Deserialize, Serialize};

const MILLION: u128 = 1_000_000;

/// The largest `max_clock_drift_ppm` that makes sense: a clock a tenth off is broken.
const DRIFT_PPM_MAX: u32 = 100_000;

/// Every member of a cluster runs with the same: a holder that counts a longer ttl than its
/// leader does would still answer when the leader gives its lease away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timing {
    /// How long a confirmed renewal is good for, from the instant it was sent.
    pub ttl: Duration,
    pub renew_interval: Duration,
    /// Raft's: from the leader to each follower.
    pub heartbeat: Duration,
    /// Raft's: a follower stands for election after a random time between these two.
    pub election_min: Duration,
    pub election_max: Duration,
    /// What the holder stops early by and the grantor waits longer by: the time between reading
    /// a clock and acting on it.
    pub margin: Duration,
    /// What a renewal may take beyond an election, before a healthy holder loses its lease.
    pub slack: Duration,
    /// How much faster one member's clock may run than another's, in millionths.
    pub max_clock_drift_ppm: u32,
}

/// A set of timings that fit each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    #[default]
    Default,
    /// For a quiet LAN.
    Fast,
    /// For members that are tens of milliseconds apart.
    Wan,
    /// For a LAN where a lease is fenced by the lifetime of its addresses, which the kernel
    /// counts in seconds.
    Lifetime,
}

impl Profile {
    pub const ALL: [Self; 4] = [Self::Default, Self::Fast, Self::Wan, Self::Lifetime];
}

/// A setting that breaks a rule the protocol relies on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}, but must be {bound}")]
pub struct UnsafeTiming {
    pub setting: &'static str,
    pub value: String,
    pub bound: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no profile: use default, fast, wan or lifetime")]
pub struct UnknownProfile(String);

impl Timing {
    #[must_use]
    pub fn profile(profile: Profile) -> Self {
        let ms = Duration::from_millis;
        match profile {
            Profile::Default => Self {
                ttl: ms(1000),
                renew_interval: ms(150),
                heartbeat: ms(50),
                election_min: ms(150),
                election_max: ms(300),
                margin: ms(20),
                slack: ms(150),
                max_clock_drift_ppm: 10_000,
            },
            Profile::Fast => Self {
                ttl: ms(250),
                renew_interval: ms(40),
                heartbeat: ms(15),
                election_min: ms(35),
                election_max: ms(70),
                margin: ms(8),
                slack: ms(50),
                max_clock_drift_ppm: 10_000,
            },
            Profile::Wan => Self {
                ttl: ms(6000),
                renew_interval: ms(1000),
                heartbeat: ms(500),
                election_min: ms(1200),
                election_max: ms(2000),
                margin: ms(100),
                slack: ms(800),
                max_clock_drift_ppm: 10_000,
            },
            Profile::Lifetime => Self {
                ttl: ms(6000),
                renew_interval: ms(500),
                heartbeat: ms(100),
                election_min: ms(300),
                election_max: ms(600),
                margin: ms(100),
                slack: ms(400),
                max_clock_drift_ppm: 10_000,
            },
        }
    }

    /// The profile that these are, if they are one's.
    #[must_use]
    pub fn name(&self) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| Self::profile(*profile) == *self)
    }

    /// How long a healthy holder may go without a confirmed renewal because a leader was lost.
    #[must_use]
    pub fn leader_loss(&self) -> Duration {
        let detection = self.election_max.saturating_mul(2);
        self.renew_interval.saturating_add(detection).saturating_add(self.slack)
    }

    /// The holder stops answering here, on its own clock. `sent` was read before the renewal
    /// left.
    #[must_use]
    pub fn holder_deadline(&self, sent: BootNanos) -> BootNanos {
        sent.after(self.ttl).before(self.margin)
    }

    /// From here on, on the grantor's clock, a lease that it last approved at `last_ok` has ended
    /// on its holder's clock, however much slower that one runs.
    #[must_use]
    pub fn grantor_over(&self, last_ok: BootNanos) -> BootNanos {
        last_ok.after(self.stretched(self.ttl)).after(self.margin)
    }

    /// The longest that `span`, measured on one clock, may last on another; rounded up.
    #[must_use]
    pub fn stretched(&self, span: Duration) -> Duration {
        let drift = MILLION + u128::from(self.max_clock_drift_ppm);
        from_nanos((span.as_nanos().saturating_mul(drift)).div_ceil(MILLION))
    }

    /// The shortest that `span`, measured on one clock, may last on another; rounded down.
    #[must_use]
    pub fn shrunk(&self, span: Duration) -> Duration {
        let drift = MILLION + u128::from(self.max_clock_drift_ppm);
        from_nanos(span.as_nanos().saturating_mul(MILLION) / drift)
    }

    /// Every rule that these settings break.
    ///
    /// # Errors
    /// The list of them, where it is not empty.
    pub fn check(&self) -> Result<(), Vec<UnsafeTiming>> {
        let mut broken = Vec::new();
        for (setting, value) in [
            ("ttl", self.ttl),
            ("renew_interval", self.renew_interval),
            ("heartbeat", self.heartbeat),
            ("election_min", self.election_min),
            ("election_max", self.election_max),
            ("margin", self.margin),
            ("slack", self.slack),
        ] {
            demand(&mut broken, !value.is_zero(), setting, value, || "more than 0".to_owned());
        }
        let least = self.leader_loss();
        // Else the loss of a leader costs healthy holders their leases.
        demand(&mut broken, self.ttl >= least, "ttl", self.ttl, || {
            format!("at least renew_interval + 2 * election_max + slack, {least:?}")
        });
        demand(&mut broken, self.margin < self.renew_interval, "margin", self.margin, || {
            format!("less than renew_interval, {:?}", self.renew_interval)
        });
        let two = self.heartbeat.saturating_mul(2);
        demand(&mut broken, two <= self.election_min, "heartbeat", self.heartbeat, || {
            format!("at most half of election_min, {:?}", self.election_min / 2)
        });
        let spread = self.election_min < self.election_max;
        demand(&mut broken, spread, "election_min", self.election_min, || {
            format!("less than election_max, {:?}", self.election_max)
        });
        if self.max_clock_drift_ppm > DRIFT_PPM_MAX {
            broken.push(UnsafeTiming {
                setting: "max_clock_drift_ppm",
                value: self.max_clock_drift_ppm.to_string(),
                bound: format!("at most {DRIFT_PPM_MAX}"),
            });
        }
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }
}

fn demand(
    broken: &mut Vec<UnsafeTiming>,
    holds: bool,
    setting: &'static str,
    value: Duration,
    bound: impl FnOnce() -> String,
) {
    if !holds {
        broken.push(UnsafeTiming { setting, value: format!("{value:?}"), bound: bound() });
    }
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "default" => Ok(Self::Default),
            "fast" => Ok(Self::Fast),
            "wan" => Ok(Self::Wan),
            "lifetime" => Ok(Self::Lifetime),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Fast => "fast",
            Self::Wan => "wan",
            Self::Lifetime => "lifetime",
        })
    }
}
