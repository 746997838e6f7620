//! A client of the control API, and what its errors prove.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use leasehold_proto::control::control_client::ControlClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// A socket is there or not.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// How an operation ended that was not answered by what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It certainly did not happen and never will.
    Failed(String),
    /// It may have, or may yet.
    InDoubt(String),
}

/// A connection to one member's socket. Each operation has its own, so that one which is refused
/// proves that nothing was asked.
///
/// # Errors
/// Where nobody listens: nothing was sent.
pub async fn connect(data_dir: &Path) -> Result<ControlClient<Channel>, Ended> {
    let path = data_dir.join("control.sock");
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let connecting = endpoint.connect_with_connector(connect);
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(channel)) => Ok(ControlClient::new(channel)),
        Ok(Err(error)) => Err(Ended::Failed(format!("not connected: {error}"))),
        Err(_) => Err(Ended::Failed("not connected in time".to_owned())),
    }
}

/// What a call's error proves. By docs/api.md a member that says `UNAVAILABLE`, `ABORTED` or that
/// the request is wrong has changed nothing; where the connection broke, nobody said anything.
#[must_use]
pub fn proves(status: &Status) -> Ended {
    let text = format!("{:?}: {}", status.code(), status.message());
    let broke = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Aborted
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::Unavailable
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::Unimplemented
            if !broke =>
        {
            Ended::Failed(text)
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Ended::InDoubt(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_refuses_did_not_happen_and_what_breaks_is_in_doubt() {
        let failed = |status: &Status| matches!(proves(status), Ended::Failed(_));
        assert!(failed(&Status::aborted("a conflict")));
        assert!(failed(&Status::unavailable("no leader")));
        assert!(!failed(&Status::deadline_exceeded("it is not known")));
        assert!(!failed(&Status::internal("a fault")));
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert!(!failed(&broken));
        let mut broken = Status::unavailable("connection lost");
        broken.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        assert!(!failed(&broken));
    }
}
