//! Posts to one URL, in order.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::news::News;
use super::queue::Queue;

/// For one try, from the name's lookup to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(5);

const TRIES: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("{0}: {1}")]
    Url(String, &'static str),
    #[error("no connection to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error("no answer within {TIMEOUT:?}")]
    Silent,
    #[error("it answered {0}")]
    Status(u16),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("no such request can be made: {0}")]
    Request(#[from] hyper::http::Error),
}

struct Target {
    /// host:port
    address: String,
    path: String,
}

/// Posts all that is put into `queue`, until it is closed.
pub(super) async fn run(url: String, queue: Arc<Queue<Arc<News>>>) {
    let target = match target(&url) {
        Ok(target) => target,
        Err(error) => return tracing::error!("webhook: {error}"),
    };
    while let Some(news) = queue.pop().await {
        if let Err(error) = deliver(&target, &news).await {
            tracing::warn!("webhook {url}: {error}: it is not told: {}", news.line);
        }
    }
}

async fn deliver(target: &Target, news: &News) -> Result<(), PostError> {
    let mut tried = 0;
    loop {
        let posted = tokio::time::timeout(TIMEOUT, post(target, news.json.clone())).await;
        tried += 1;
        match posted.unwrap_or(Err(PostError::Silent)) {
            Err(error) if tried < TRIES => {
                tracing::debug!(%error, "a webhook is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn post(target: &Target, body: String) -> Result<(), PostError> {
    let stream = TcpStream::connect(&target.address).await;
    let stream = stream.map_err(|error| PostError::Connect(target.address.clone(), error))?;
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::post(&target.path)
        .header(hyper::header::HOST, &target.address)
        .header(hyper::header::USER_AGENT, "leasehold")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .header(hyper::header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))?;
    // Whatever becomes of it, its connection ends with it.
    let mut carrier = JoinSet::new();
    carrier.spawn(connection);
    let answer = client.send_request(request).await?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(PostError::Status(answer.status().as_u16())),
    }
}

fn target(url: &str) -> Result<Target, PostError> {
    let bad = |why| PostError::Url(url.to_owned(), why);
    let uri: Uri = url.parse().map_err(|_| bad("this is no URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(bad("only http:// is spoken: name a local proxy that encrypts"));
    }
    let host = uri.host().ok_or_else(|| bad("a host is missing"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Target { address: format!("{host}:{}", uri.port_u16().unwrap_or(80)), path })
}
