//! The document in force, those before it, and how each came to be.

use leasehold_model::Revision;
use leasehold_node_core::document;
use leasehold_proto::control::control_client::ControlClient;
use leasehold_proto::control::{
    self, ExportRequest, ExportResponse, HistoryRequest, HistoryResponse,
};
use leasehold_raft::state::Revised;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::control::{ControlService, LEADER_WITHIN, LOOK_AGAIN};
use super::forwarded;

/// What to do where no leader can be proved.
pub(super) const HISTORY_ELSE: &str = "see what this node has with `leasehold history --local`";

impl ControlService {
    pub(super) async fn read_document(
        &self,
        request: ExportRequest,
    ) -> Result<Response<ExportResponse>, Status> {
        if !request.local {
            let otherwise = "see what this node has with `leasehold export --local`";
            if let Some(mut leader) = self.proven_leader(otherwise).await? {
                return forwarded::question(leader.export(request).await);
            }
        }
        let state = self.state();
        let revised = match request.revision {
            None => state.in_force(),
            Some(asked) => {
                state.revised(Revision(asked)).map_err(|why| Status::not_found(why.to_string()))?
            }
        };
        Ok(Response::new(ExportResponse {
            toml: document::to_toml(revised.config),
            revision: revised.revision.0,
            origin: Some(told(&revised)),
        }))
    }

    pub(super) async fn read_history(
        &self,
        request: HistoryRequest,
    ) -> Result<Response<HistoryResponse>, Status> {
        if !request.local
            && let Some(mut leader) = self.proven_leader(HISTORY_ELSE).await?
        {
            return forwarded::question(leader.history(request).await);
        }
        let limit = match request.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let state = self.state();
        let revisions = state.revisions().rev().take(limit).map(|one| told(&one)).collect();
        Ok(Response::new(HistoryResponse { revisions, dropped: state.dropped().0 }))
    }

    /// The leader, where that is another node. None: this node leads, and has proved it. Another
    /// may lead by now, and have committed what this node has not heard of: then that one is it.
    pub(super) async fn proven_leader(
        &self,
        otherwise: &str,
    ) -> Result<Option<ControlClient<Channel>>, Status> {
        let mut leadership = self.group.leadership();
        let until = Instant::now() + LEADER_WITHIN;
        loop {
            leadership.mark_unchanged();
            if let Some(leader) = self.leader().await? {
                return Ok(Some(leader));
            }
            let Err(error) = self.group.confirm().await else { return Ok(None) };
            // In the midst of a change of leaders this node hears of it in a moment.
            let news = tokio::time::timeout(LOOK_AGAIN, leadership.changed()).await;
            if news.is_err() && leadership.borrow().is_leader || Instant::now() >= until {
                let why = format!("{error}: try again, or {otherwise}");
                return Err(Status::unavailable(why));
            }
        }
    }
}

pub(super) fn told(one: &Revised<'_>) -> control::Revision {
    let number = one.revision.0;
    let Some(origin) = one.origin else {
        return control::Revision { number, ..control::Revision::default() };
    };
    control::Revision {
        number,
        author: origin.note.author.clone(),
        at_unix_ms: origin.at_unix_ms,
        message: origin.note.message.clone(),
        bytes: origin.note.bytes,
    }
}
