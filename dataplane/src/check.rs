//! Checks of real servers, carried out: keepalived's `TCP_CHECK` and `HTTP_GET`.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use leasehold_model::{Check, CheckKind, Url};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Why a real server did not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("no answer of {0} within {1:?}")]
    Silent(SocketAddr, Duration),
    #[error("{0}{1} answered {2}")]
    Status(SocketAddr, String, u16),
    #[error("{0}{1}: {2}")]
    Http(SocketAddr, String, hyper::Error),
    #[error("{0}: no such page can be asked for: {1}")]
    Request(String, hyper::http::Error),
}

/// Asks the real server at `real` once. `virtualhost` is what to call it where a page does not.
///
/// # Errors
/// Where it does not answer as it should, in time.
pub async fn ask(
    check: &Check,
    real: SocketAddr,
    virtualhost: Option<&str>,
) -> Result<(), CheckError> {
    let target = check.connect.unwrap_or(real);
    let limit = Duration::from_millis(u64::from(check.connect_timeout_ms));
    let asked = async {
        match &check.kind {
            CheckKind::Tcp => connect(target).await.map(drop),
            CheckKind::Http { urls } => {
                for url in urls {
                    get(target, url, virtualhost).await?;
                }
                Ok(())
            }
        }
    };
    let outcome = tokio::time::timeout(limit, asked).await;
    outcome.unwrap_or(Err(CheckError::Silent(target, limit)))
}

async fn connect(target: SocketAddr) -> Result<TcpStream, CheckError> {
    TcpStream::connect(target).await.map_err(|error| CheckError::Connect(target, error))
}

async fn get(target: SocketAddr, url: &Url, virtualhost: Option<&str>) -> Result<(), CheckError> {
    let failed = |error| CheckError::Http(target, url.path.clone(), error);
    let stream = TokioIo::new(connect(target).await?);
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(failed)?;
    let host = url.virtualhost.as_deref().or(virtualhost);
    let request = hyper::Request::get(&url.path)
        .header(hyper::header::HOST, host.map_or_else(|| target.to_string(), str::to_owned))
        .header(hyper::header::USER_AGENT, "leasehold")
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| CheckError::Request(url.path.clone(), error))?;
    // Whatever becomes of this question, its connection ends with it.
    let mut carrier = JoinSet::new();
    carrier.spawn(connection);
    let answer = client.send_request(request).await.map_err(failed)?;
    let status = answer.status().as_u16();
    let wanted = |(first, last): &(u16, u16)| (*first..=*last).contains(&status);
    let good = match url.status_code.as_slice() {
        [] => (200..300).contains(&status),
        some => some.iter().any(wanted),
    };
    if good { Ok(()) } else { Err(CheckError::Status(target, url.path.clone(), status)) }
}
