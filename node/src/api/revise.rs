//! Putting a document in force: one that is handed over, or one from the history.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_model::{Config, NodeId, Revision};
use leasehold_node_core::plan::{self, Outlook, Plan};
use leasehold_node_core::{Diagnostic, document};
use leasehold_proto::control::{ApplyRequest, ApplyResponse, RollbackRequest};
use leasehold_raft::state::{Command, Entry, MESSAGE_MAX, Note, Origin, Outcome, State};
use tonic::{Response, Status};

use super::control::ControlService;
use super::revisions::HISTORY_ELSE;
use super::{backends, forwarded, heard, overrides};
use crate::daemon::governor::Reports;
use crate::daemon::situation::{Situation, unix_ms};
use crate::utc::utc;

/// A document that was found to be in order, and what is to be noted with it.
struct Wanted {
    config: Config,
    if_revision: Option<Revision>,
    author: String,
    message: String,
}

impl ControlService {
    pub(super) async fn replace(
        &self,
        request: ApplyRequest,
    ) -> Result<Response<ApplyResponse>, Status> {
        check_message(&request.message)?;
        let config: Config = serde_json::from_slice(&request.config)
            .map_err(|error| Status::invalid_argument(format!("the configuration: {error}")))?;
        if let Some(fault) = fault(&config) {
            return Err(Status::invalid_argument(fault));
        }
        if config.instances.is_empty() && !request.allow_empty {
            return Err(Status::invalid_argument(
                "the document configures no instance, and would take every VIP away: if that is \
                 meant, set allow_empty",
            ));
        }
        // Only the leader hears what the directors' kernels have, and what they can hold; and what
        // is foreseen by one that was cut off is of the past.
        if request.dry_run || backends::needs_ipvs(&config) {
            let leader = if request.dry_run {
                self.proven_leader(HISTORY_ELSE).await?
            } else {
                self.leader().await?
            };
            if let Some(mut leader) = leader {
                let looks = request.dry_run;
                return forwarded::either(looks, leader.apply(request).await, "history");
            }
            self.check_backends(&config).map_err(Status::failed_precondition)?;
        }
        let ApplyRequest { if_revision, author, message, dry_run, .. } = request;
        let if_revision = if_revision.map(Revision);
        let wanted = Wanted { config, if_revision, author, message };
        if dry_run { self.dry_run(wanted).await } else { self.put(wanted).await }
    }

    pub(super) async fn roll_back(
        &self,
        request: RollbackRequest,
    ) -> Result<Response<ApplyResponse>, Status> {
        check_message(&request.message)?;
        // This node may not have heard yet of the revision.
        if let Some(mut leader) = self.proven_leader(HISTORY_ELSE).await? {
            let looks = request.dry_run;
            return forwarded::either(looks, leader.rollback(request).await, "history");
        }
        let asked = Revision(request.revision);
        let state = self.state();
        let revised = state.revised(asked).map_err(|why| Status::not_found(why.to_string()))?;
        let config = Config::clone(revised.config);
        if config.instances.is_empty() && !request.allow_empty {
            return Err(Status::failed_precondition(format!(
                "revision {asked} configures no instance, and would take every VIP away: if that \
                 is meant, say --allow-empty"
            )));
        }
        let refused = fault(&config).or_else(|| self.check_backends(&config).err());
        if let Some(why) = refused {
            return Err(Status::failed_precondition(format!(
                "revision {asked} can't be served any more: {why}; `leasehold export --revision \
                 {asked}` prints it, to be changed and applied"
            )));
        }
        let RollbackRequest { if_revision, author, mut message, dry_run, .. } = request;
        if message.is_empty() {
            message = format!("rollback to revision {asked}");
        }
        let wanted = Wanted { config, if_revision: if_revision.map(Revision), author, message };
        if dry_run { self.dry_run(wanted).await } else { self.put(wanted).await }
    }

    fn check_backends(&self, config: &Config) -> Result<(), String> {
        if !backends::needs_ipvs(config) {
            return Ok(());
        }
        let reports = self.view.governor.reports();
        backends::refuse(config, &self.state(), &reports).map_or(Ok(()), Err)
    }

    async fn put(&self, wanted: Wanted) -> Result<Response<ApplyResponse>, Status> {
        let Wanted { config, if_revision, author, message } = wanted;
        let warnings = self.warnings(&config);
        let note = Some(Note { author, message, bytes: length(&config)? });
        let command = Command::Apply { config: Arc::new(config), if_revision, note };
        let proposed = heard(self.group.propose(command).await)?;
        let Outcome::Applied { revision, changed } = proposed.outcome else {
            return Err(Status::internal("an apply was answered with something else"));
        };
        let revision = revision.0;
        Ok(Response::new(ApplyResponse { revision, changed, warnings, ..Default::default() }))
    }

    /// What [`put`](Self::put) would do, from what the leader knows now.
    async fn dry_run(&self, wanted: Wanted) -> Result<Response<ApplyResponse>, Status> {
        let Wanted { config, if_revision, .. } = wanted;
        let warnings = self.warnings(&config);
        let (state, reports) = (self.state(), self.view.governor.reports());
        let (leader, revision) = (self.group.node(), state.revision.0);
        // A large document takes a while, which nobody else should wait for.
        let told = tokio::task::spawn_blocking(move || {
            foresee(&state, &reports, leader, config, if_revision)
        });
        let told = told.await.map_err(|error| Status::internal(error.to_string()))?;
        let Foreseen { plan, changed } = told?;
        let plan_json = serde_json::to_string(&plan)
            .map_err(|error| Status::internal(format!("encoding the plan: {error}")))?;
        let plan_text = plan.to_string();
        Ok(Response::new(ApplyResponse { revision, changed, warnings, plan_json, plan_text }))
    }

    fn warnings(&self, config: &Config) -> Vec<String> {
        let state = self.state();
        let names = state.members.values().map(|member| member.name.clone()).collect();
        let mut warnings: Vec<String> =
            document::check_directors(config, &names).iter().map(ToString::to_string).collect();
        warnings.extend(overrides::ended(config, &state.overrides));
        warnings
    }
}

struct Foreseen {
    plan: Plan,
    changed: bool,
}

/// Applies the document to a copy of the state, and looks where placement would go from there.
fn foresee(
    state: &Arc<State>,
    reports: &Reports,
    leader: NodeId,
    config: Config,
    if_revision: Option<Revision>,
) -> Result<Foreseen, Status> {
    let mut after = State::clone(state);
    let command = Command::Apply { config: Arc::new(config), if_revision, note: None };
    let entry = Entry { at_unix_ms: unix_ms(), command };
    let changed = match after.apply(state.applied + 1, &entry) {
        Outcome::Applied { changed, .. } => changed,
        Outcome::Conflict { expected, in_force, origin } => {
            return Err(conflict(expected, in_force, origin.as_ref()));
        }
        Outcome::Refused(why) => return Err(Status::failed_precondition(why)),
        Outcome::Done | Outcome::Admitted { .. } | Outcome::Stale => {
            return Err(Status::internal("an apply was answered with something else"));
        }
    };
    let holder = |(name, _, _, lease): (&str, _, _, &leasehold_raft::state::Lease)| {
        Some((name.to_owned(), lease.holder?))
    };
    let held: BTreeMap<_, _> = state.instances().filter_map(holder).collect();
    let situation = Situation::new(&after, reports, |_, _| false);
    let (directors, slots) = (situation.directors(), situation.slots());
    let outlook = Outlook { directors: &directors, slots: &slots, leader, held: &held };
    Ok(Foreseen { plan: plan::plan(&state.config, &after.config, &outlook), changed })
}

/// Somebody else was quicker: who, when and why, in one line.
pub(super) fn conflict(expected: Revision, now: Revision, origin: Option<&Origin>) -> Status {
    let meanwhile = match origin {
        None => "someone changed it meanwhile".to_owned(),
        Some(Origin { at_unix_ms, note }) => {
            let message = first_line(&note.message);
            let message = if message.is_empty() { "" } else { &format!(", \"{message}\"") };
            format!("{} changed it at {}{message}", note.author, utc(*at_unix_ms))
        }
    };
    Status::aborted(format!(
        "the configuration is at revision {now}, not {expected}: {meanwhile}; look with \
         `leasehold diff {expected}`, and apply your change to what is in force now"
    ))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The first one, in a line.
fn fault(config: &Config) -> Option<String> {
    let Diagnostic { message, hint, .. } =
        document::validate(config).into_iter().find(Diagnostic::is_error)?;
    Some(hint.map_or(message.clone(), |hint| format!("{message}; {hint}")))
}

/// A message is shown on terminals: it must not be able to do anything there.
fn check_message(message: &str) -> Result<(), Status> {
    if message.len() > MESSAGE_MAX {
        return Err(Status::invalid_argument(format!(
            "the message has {} bytes: at most {MESSAGE_MAX} are kept with a revision",
            message.len()
        )));
    }
    match message.chars().find(|c| c.is_control() && *c != '\n') {
        Some(c) => Err(Status::invalid_argument(format!(
            "the message has the control character {}: only text and new lines are kept",
            c.escape_unicode()
        ))),
        None => Ok(()),
    }
}

/// Of the document as JSON, which is what a snapshot has of it.
fn length(config: &Config) -> Result<u64, Status> {
    let json = serde_json::to_vec(config)
        .map_err(|error| Status::internal(format!("encoding the configuration: {error}")))?;
    Ok(json.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_says_who_when_and_why_in_one_line() {
        let line = |origin: Option<Origin>| {
            conflict(Revision(7), Revision(9), origin.as_ref()).message().to_owned()
        };
        let origin = |message: &str| {
            let (author, message) = ("client ops".to_owned(), message.to_owned());
            let note = Note { author, message, bytes: 1 };
            Some(Origin { at_unix_ms: 1_795_271_101_000, note })
        };
        let to_do = "look with `leasehold diff 7`, and apply your change to what is in force now";
        assert_eq!(
            line(origin("more weight\n\nfor Monday")),
            format!(
                "the configuration is at revision 9, not 7: client ops changed it at 2026-11-21 \
                 14:25:01 UTC, \"more weight\"; {to_do}"
            )
        );
        assert!(line(origin("")).contains("14:25:01 UTC; look"));
        assert_eq!(
            line(None),
            format!(
                "the configuration is at revision 9, not 7: someone changed it meanwhile; {to_do}"
            )
        );
        assert_eq!(conflict(Revision(7), Revision(9), None).code(), tonic::Code::Aborted);
    }

    #[test]
    fn a_message_is_text_of_a_bounded_length() {
        assert!(check_message("more weight\nfor Monday, über alles").is_ok());
        assert!(check_message(&"x".repeat(MESSAGE_MAX)).is_ok());
        let why = |text: &str| check_message(text).unwrap_err().message().to_owned();
        assert_eq!(
            why(&"x".repeat(MESSAGE_MAX + 1)),
            "the message has 1025 bytes: at most 1024 are kept with a revision"
        );
        let escape =
            "the message has the control character \\u{1b}: only text and new lines are kept";
        assert_eq!(why("\u{1b}[2J"), escape);
        assert!(check_message("a\rb").is_err());
    }
}
