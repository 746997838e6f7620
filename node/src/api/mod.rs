//! The services this node offers: to its peers, to strangers with a token, and to clients.

pub(crate) mod admission;
pub(crate) mod author;
mod backends;
pub(crate) mod control;
mod door;
mod forwarded;
mod kernel_table;
pub(crate) mod lease;
mod overrides;
mod revise;
mod revisions;
pub(crate) mod serve;
pub(crate) mod standard;
pub(crate) mod status;
mod virtual_servers;
pub(crate) mod watch;
mod written;

use leasehold_raft::group::ProposeError;
use leasehold_raft::state::Outcome;
use tonic::Status;

pub(crate) use virtual_servers::Loads;

/// What a client hears of a proposal: the refusal in its own words, or whether to try again.
pub(crate) fn heard(
    result: Result<leasehold_raft::group::Proposed, ProposeError>,
) -> Result<leasehold_raft::group::Proposed, Status> {
    match result {
        Ok(proposed) => match &proposed.outcome {
            Outcome::Refused(why) => Err(Status::failed_precondition(why.clone())),
            Outcome::Conflict { expected, in_force, origin } => {
                Err(revise::conflict(*expected, *in_force, origin.as_ref()))
            }
            Outcome::Stale => Err(Status::aborted("it was about a lease that is over")),
            Outcome::Done | Outcome::Applied { .. } | Outcome::Admitted { .. } => Ok(proposed),
        },
        Err(error) if error.is_definite() => Err(Status::unavailable(format!(
            "not done, nothing changed: {error}; is a majority of the members up? \
             `leasehold status` tells"
        ))),
        Err(error) => Err(Status::deadline_exceeded(format!(
            "it is not known whether it was done: {error}; look with `leasehold status` before \
             you try again"
        ))),
    }
}
