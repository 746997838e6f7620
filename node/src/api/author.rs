//! Who asks for a change, as it is written down with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_raft::identity::Caller;
use nix::unistd::{Uid, User};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

/// How long a user is called what it was called.
const KEPT: Duration = Duration::from_secs(10);

/// Users that asked lately, and their names. Few are let in to the control socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authors {
    users: Arc<Mutex<BTreeMap<u32, (Instant, String)>>>,
}

impl Authors {
    /// The client's certificate's name, or the user at the other end of the unix socket. A node
    /// that passes a change on says who asked it, by `passed_on`; of anybody else that is not
    /// believed.
    pub(super) async fn of<T>(
        &self,
        request: &Request<T>,
        passed_on: &str,
    ) -> Result<String, Status> {
        if let Some(local) = request.extensions().get::<UdsConnectInfo>() {
            let Some(peer) = local.peer_cred else {
                return Err(Status::unauthenticated("the kernel does not tell who calls"));
            };
            return Ok(self.user(peer.uid()).await);
        }
        match request.extensions().get::<Caller>() {
            Some(Caller::Client(name)) => Ok(format!("client {name}")),
            Some(Caller::Node(node)) if passed_on.is_empty() => Ok(format!("node {node}")),
            Some(Caller::Node(_)) => Ok(passed_on.to_owned()),
            Some(Caller::Local) | None => Err(Status::unauthenticated("nobody says who calls")),
        }
    }

    /// `uid 0 (root)`; without the name where the machine knows none.
    async fn user(&self, uid: u32) -> String {
        if let Some(known) = self.known(uid, Instant::now()) {
            return known;
        }
        // It may ask a directory service.
        let found = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
        let Ok(Ok(Some(user))) = found else { return format!("uid {uid}") };
        let name = format!("uid {uid} ({})", user.name);
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.insert(uid, (Instant::now(), name.clone()));
        name
    }

    fn known(&self, uid: u32, now: Instant) -> Option<String> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, (since, _)| now.duration_since(*since) < KEPT);
        users.get(&uid).map(|(_, name)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::NodeId;

    use super::*;

    async fn told(caller: Option<Caller>, passed_on: &str) -> Result<String, String> {
        let mut request = Request::new(());
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        Authors::default()
            .of(&request, passed_on)
            .await
            .map_err(|status| status.message().to_owned())
    }

    #[tokio::test]
    async fn only_a_node_may_speak_for_another() {
        let ops = || Some(Caller::Client("ops".to_owned()));
        assert_eq!(told(ops(), "").await.unwrap(), "client ops");
        assert_eq!(told(ops(), "uid 0 (root)").await.unwrap(), "client ops");
        let node = || Some(Caller::Node(NodeId(3)));
        assert_eq!(told(node(), "uid 0 (root)").await.unwrap(), "uid 0 (root)");
        assert_eq!(told(node(), "").await.unwrap(), "node 3");
        assert!(told(None, "uid 0 (root)").await.is_err());
    }

    #[tokio::test]
    async fn a_user_is_named_where_the_machine_knows_it() {
        let authors = Authors::default();
        assert_eq!(authors.user(0).await, "uid 0 (root)");
        assert_eq!(authors.user(4_000_000_000).await, "uid 4000000000");
        let asked = Instant::now();
        assert_eq!(authors.known(0, asked).as_deref(), Some("uid 0 (root)"));
        assert_eq!(authors.known(4_000_000_000, asked), None);
        assert_eq!(authors.known(0, asked + KEPT), None);
    }
}
