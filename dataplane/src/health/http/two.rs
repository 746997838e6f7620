//! HTTP/2: one stream on one connection, both carried by the check's own task.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use h2::client;
use tokio::io::{AsyncRead, AsyncWrite};

use super::one::HEADER_LIMIT;
use super::{HttpFault, Page};

pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    uri: &http::Uri,
    page: &Page,
) -> Result<(), HttpFault> {
    let (sender, connection) = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(HEADER_LIMIT).unwrap_or(u32::MAX))
        .handshake::<_, &'static [u8]>(stream)
        .await?;
    let mut connection = pin!(connection);
    let mut talk = pin!(talk(sender, uri, page));
    poll_fn(|context| {
        let carried = connection.as_mut().poll(context);
        // What came before the connection's end is an answer still.
        match (talk.as_mut().poll(context), carried) {
            (Poll::Ready(answer), _) => Poll::Ready(answer),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
            (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(HttpFault::Truncated)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

async fn talk(
    sender: client::SendRequest<&'static [u8]>,
    uri: &http::Uri,
    page: &Page,
) -> Result<(), HttpFault> {
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::GET;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = http::Version::HTTP_2;
    let agent = http::HeaderValue::from_static(super::USER_AGENT);
    request.headers_mut().insert(http::header::USER_AGENT, agent);
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    let answer = response.await?;
    page.judge_status(answer.status().as_u16())?;
    let mut judge = page.body.judge();
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        judge.take(&piece)?;
        // What is judged makes room for more.
        body.flow_control().release_capacity(piece.len())?;
    }
    judge.end()
}
