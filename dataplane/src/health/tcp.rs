//! `TCP_CHECK`: a connection, and no word on it.

use socket2::Type;
use tokio::net::{TcpSocket, TcpStream};

use super::{CheckError, Target, source};

pub(super) async fn ask(target: &Target) -> Result<(), CheckError> {
    connect(target).await.map(drop)
}

/// A connection to the target, in time.
///
/// It ends with RST when it is dropped, as keepalived's do: nothing of it waits in this machine
/// (`TIME_WAIT`) or in the other (`FIN_WAIT2`), however many checks there are.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, CheckError> {
    let socket = source::open(&target.source, target.address, Type::STREAM, None);
    let socket = socket.map_err(|error| target.unknown(error))?;
    let socket = TcpSocket::from_std_stream(socket.into());
    socket.set_zero_linger().map_err(|error| target.unknown(error))?;
    let step = async { socket.connect(target.address).await.map_err(|error| target.failed(error)) };
    target.within(step).await
}
