//! Who asks for a change, as it is written down with it.

use leasehold_raft::identity::Caller;
use nix::unistd::{Uid, User};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

/// The client's certificate's name, or the user at the other end of the unix socket. A node that
/// passes a change on says who asked it, by `passed_on`; of anybody else that is not believed.
pub(super) async fn of<T>(request: &Request<T>, passed_on: &str) -> Result<String, Status> {
    if let Some(local) = request.extensions().get::<UdsConnectInfo>() {
        let Some(peer) = local.peer_cred else {
            return Err(Status::unauthenticated("the kernel does not tell who calls"));
        };
        return Ok(user(peer.uid()).await);
    }
    match request.extensions().get::<Caller>() {
        Some(Caller::Client(name)) => Ok(format!("client {name}")),
        Some(Caller::Node(node)) if passed_on.is_empty() => Ok(format!("node {node}")),
        Some(Caller::Node(_)) => Ok(passed_on.to_owned()),
        Some(Caller::Local) | None => Err(Status::unauthenticated("nobody says who calls")),
    }
}

/// `uid 0 (root)`; without the name where the machine knows none.
async fn user(uid: u32) -> String {
    // It may ask a directory service.
    let found = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
    match found {
        Ok(Ok(Some(user))) => format!("uid {uid} ({})", user.name),
        Ok(Ok(None) | Err(_)) | Err(_) => format!("uid {uid}"),
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
        of(&request, passed_on).await.map_err(|status| status.message().to_owned())
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
        assert_eq!(user(0).await, "uid 0 (root)");
        assert_eq!(user(4_000_000_000).await, "uid 4000000000");
    }
}
