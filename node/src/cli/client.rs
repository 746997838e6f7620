//! Reaching a daemon: the local one by its socket, another by TLS.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hyper_util::rt::TokioIo;
use leasehold_proto::control::control_client::ControlClient;
use leasehold_raft::identity::{ClientCertificate, Directory};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::args::Arguments;
use crate::api::serve::MESSAGE_LIMIT;

pub(super) struct Target {
    data_dir: PathBuf,
    connect: Option<(String, PathBuf)>,
}

/// A daemon's refusal, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message())]
pub(super) struct Answer(pub(super) tonic::Status);

/// Longer than any wait at the other end.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const ALIVE_EVERY: Duration = Duration::from_secs(5);

impl From<&Arguments> for Target {
    fn from(arguments: &Arguments) -> Self {
        let connect = arguments.connect.clone().zip(arguments.certificate.clone());
        Self { data_dir: arguments.data_dir.clone(), connect }
    }
}

impl Target {
    /// Runs one conversation with the daemon.
    pub(super) fn call<T>(
        &self,
        work: impl AsyncFnOnce(ControlClient<Channel>) -> Result<T, tonic::Status>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = ControlClient::new(self.channel().await?);
            let client = client
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT);
            work(client).await.map_err(|status| Answer(status).into())
        })
    }

    pub(super) fn data_dir(&self) -> &PathBuf {
        &self.data_dir
    }

    async fn channel(&self) -> anyhow::Result<Channel> {
        if let Some((address, file)) = &self.connect {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("reading the client certificate {}", file.display()))?;
            let endpoint = ClientCertificate::parse(&text)?.endpoint(address)?;
            let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).timeout(ANSWER_WITHIN);
            // A node that lost its power says nothing more, and a watch would wait for ever.
            let endpoint = endpoint
                .http2_keep_alive_interval(ALIVE_EVERY)
                .keep_alive_timeout(ALIVE_EVERY)
                .keep_alive_while_idle(true);
            return endpoint.connect().await.map_err(|error| unreachable(address, &error));
        }
        let path = Directory::control_socket(&self.data_dir)?;
        let shown = path.display().to_string();
        // The address is not used: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://localhost").timeout(ANSWER_WITHIN);
        let connect = service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connect).await.map_err(|error| {
            let why = cause(&error);
            anyhow!(
                "no daemon answers on {shown} ({why}); start it with `leasehold run`, or name \
                     its --data-dir"
            )
        })
    }
}

fn unreachable(address: &str, error: &tonic::transport::Error) -> anyhow::Error {
    anyhow!("{address} does not answer as a node of this certificate's cluster: {}", cause(error))
}

/// The innermost reason: the outer ones say only that connecting failed.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
