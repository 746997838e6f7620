//! `Apply` of whole configurations, over the control socket.

use std::path::Path;

use hyper_util::rt::TokioIo;
use leasehold_lab::{LabError, Result};
use leasehold_model::Config;
use leasehold_node_core::document::parse_toml;
use leasehold_proto::control::ApplyRequest;
use leasehold_proto::control::control_client::ControlClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::Store;

/// Above any document that is measured, and the daemon's own limit.
const MESSAGE_LIMIT: usize = 32 << 20;

/// A configuration of one virtual server. What its first two real servers weigh tells its number.
#[derive(Clone)]
pub(super) struct Document {
    config: Config,
    size: usize,
}

impl Document {
    /// Of about so many bytes, as it is sent and logged.
    pub(super) fn new(bytes: usize) -> Result<Document> {
        let size_of = |real_servers: usize| {
            let config = config(&toml(1, real_servers))?;
            let size = encoded(&config)?.len();
            Ok::<_, LabError>(Document { config, size })
        };
        let (two, three) = (size_of(2)?, size_of(3)?);
        let each = three.size - two.size;
        size_of(2 + bytes.saturating_sub(two.size).div_ceil(each))
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn numbered(&self, number: u64) -> Result<Vec<u8>> {
        let mut config = self.config.clone();
        let real = config.virtual_servers.iter_mut().flat_map(|one| &mut one.real_servers);
        for (one, shift) in real.zip([0, 16]) {
            one.weight = (number >> shift & 0xffff) as u16;
        }
        encoded(&config)
    }
}

/// Virtual servers of an instance whose interface is nobody's, so that nothing is bound.
pub(super) fn toml(virtual_servers: usize, real_servers: usize) -> String {
    let mut text = "[instance.web]\nvirtual_router_id = 1\ninterface = \"none\"\n\
        virtual_ipaddress = [\"10.92.1.1\"]\n"
        .to_owned();
    for port in 0..virtual_servers {
        let real = |nth: usize| {
            format!(
                "{{ address = \"10.{}.{}.{}:80\" }}",
                93 + nth / 62_500,
                nth / 250 % 250,
                nth % 250 + 1
            )
        };
        let real: Vec<String> =
            (0..real_servers).map(|nth| real(port * real_servers + nth)).collect();
        text += &format!(
            "[[virtual_server]]\naddress = \"10.92.1.1:{}\"\nlb_algo = \"rr\"\nreal_server = [{}]\n",
            port + 1,
            real.join(", ")
        );
    }
    text
}

pub(super) fn config(toml: &str) -> Result<Config> {
    let (config, faults) = parse_toml("bench.toml", toml);
    config.ok_or_else(|| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        LabError::Argument(faults.join("\n"))
    })
}

pub(super) fn encoded(config: &Config) -> Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|error| LabError::Argument(error.to_string()))
}

#[derive(Clone)]
pub(super) struct Client {
    control: ControlClient<Channel>,
    document: Document,
}

impl Client {
    pub(super) async fn connect(data_dir: &Path, document: Document) -> Result<Client> {
        let path = data_dir.join("control.sock");
        let shown = path.display().to_string();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(connect)
            .await
            .map_err(|error| LabError::Argument(format!("{shown}: {error}")))?;
        let control = ControlClient::new(channel).max_encoding_message_size(MESSAGE_LIMIT);
        Ok(Client { control, document })
    }
}

impl Store for Client {
    async fn write(&mut self, number: u64) -> bool {
        let Ok(config) = self.document.numbered(number) else { return false };
        let request = ApplyRequest { config, ..ApplyRequest::default() };
        self.control.apply(request).await.is_ok()
    }
}
