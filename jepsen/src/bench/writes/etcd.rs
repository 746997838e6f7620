//! etcd's `Put`, by as much of its protocol as that takes.

use hyper_util::rt::TokioIo;
use leasehold_lab::peers::etcd::Member;
use leasehold_lab::{LabError, Result};
use prost::Message;
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::Store;

const KEY: &[u8] = b"leasehold/config";

/// `etcdserverpb.PutRequest`.
#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Of an answer, what is looked at.
#[derive(Clone, PartialEq, Message)]
struct Answered {}

/// `etcdserverpb.StatusResponse`.
#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone)]
pub(super) struct Client {
    grpc: Grpc<Channel>,
    bytes: usize,
}

impl Client {
    /// To the member that leads.
    pub(super) async fn connect(members: &[Member], bytes: usize) -> Result<Client> {
        for member in members {
            let mut grpc = Grpc::new(channel(member).await?);
            let status: StatusResponse =
                call(&mut grpc, "/etcdserverpb.Maintenance/Status", Answered {})
                    .await
                    .map_err(|status| LabError::Argument(format!("etcd's status: {status}")))?;
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(Client { grpc, bytes });
            }
        }
        Err(LabError::Argument("no member of etcd leads".to_owned()))
    }
}

impl Store for Client {
    async fn write(&mut self, number: u64) -> bool {
        let value = format!("{number:0width$}", width = self.bytes).into_bytes();
        let put = Put { key: KEY.to_vec(), value };
        call::<_, Answered>(&mut self.grpc, "/etcdserverpb.KV/Put", put).await.is_ok()
    }
}

async fn call<Q, A>(
    grpc: &mut Grpc<Channel>,
    path: &'static str,
    question: Q,
) -> std::result::Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(question), path, codec).await.map(tonic::Response::into_inner)
}

/// The connection is made in the member's own host.
async fn channel(member: &Member) -> Result<Channel> {
    let (host, address) = (member.host.clone(), member.clients);
    let connect = tower::service_fn(move |_| {
        let host = host.clone();
        async move {
            let stream = host.enter(|| std::net::TcpStream::connect(address));
            let stream = stream.map_err(std::io::Error::other)??;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream).map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connect)
        .await
        .map_err(|error| LabError::Argument(format!("etcd at {address}: {error}")))
}
