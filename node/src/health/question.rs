//! What one check asks: the network, a program, or the number in a file.

use std::net::SocketAddr;

use leasehold_dataplane::checker::{Answer, Effect};
use leasehold_dataplane::health::{Elsewhere, Prober};
use leasehold_model::{Check, FileCheck, TrackFile};

use super::checks::Wanted;
use super::{file, misc};
use crate::tracking::Numbers;

/// What asking once came to, in words for people where it did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed(Effect),
    /// And why, in words that follow the name of what was asked.
    Failed(String),
    /// This machine could not ask, and why: no verdict about the real server.
    Unknown(String),
}

impl Outcome {
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Passed(effect) => Answer::Passed(*effect),
            Self::Failed(_) => Answer::Failed,
            Self::Unknown(_) => Answer::Unknown,
        }
    }
}

pub(super) enum Question {
    Network(Box<Prober>),
    Program(Box<misc::Program>),
    /// With what the configuration has for the file.
    File(FileCheck, Option<Box<TrackFile>>),
}

impl Question {
    pub(super) fn new(wanted: &Wanted, real: SocketAddr) -> Self {
        let Wanted { check, virtualhost, alerts, file, .. } = wanted;
        match Prober::new(check, real, virtualhost.as_deref()) {
            Ok(prober) => Self::Network(Box::new(prober)),
            Err(Elsewhere::Program(one)) => {
                let alerts = alerts.clone().unwrap_or_default();
                Self::Program(Box::new(misc::Program::new(one, check.delay_loop_ms, &alerts)))
            }
            Err(Elsewhere::File(one)) => Self::File(one.clone(), file.clone().map(Box::new)),
        }
    }

    pub(super) fn has_socket(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Program(_) | Self::File(..) => false,
        }
    }

    /// Whether it is also asked when a number changes.
    pub(super) fn is_file(&self) -> bool {
        match self {
            Self::File(..) => true,
            Self::Network(_) | Self::Program(_) => false,
        }
    }

    pub(super) async fn ask(&mut self, numbers: &Numbers) -> Outcome {
        match self {
            Self::Network(prober) => match prober.ask().await {
                Ok(()) => Outcome::Passed(Effect::None),
                Err(error) if error.is_verdict() => Outcome::Failed(error.to_string()),
                Err(error) => Outcome::Unknown(error.to_string()),
            },
            Self::Program(program) => program.ask().await,
            Self::File(check, file) => {
                let number = numbers.get(&check.track_file).copied();
                match file.as_deref().zip(number) {
                    Some((file, number)) => file::judge(check, file, number),
                    None => Outcome::Unknown(format!("file {} was not read yet", check.track_file)),
                }
            }
        }
    }
}

/// The number in a file is what it is: neither retries nor a random beginning.
pub(super) fn plain(check: &Check) -> Check {
    match check.kind.file() {
        Some(_) => Check { retry: 0, rise: 1, warmup_ms: Some(0), ..check.clone() },
        None => check.clone(),
    }
}
