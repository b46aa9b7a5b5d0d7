//! A request over HTTP/2, and how it is answered.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::sync::mpsc::UnboundedSender;

use super::{Order, Protocol, Received, Shared};

/// A request that wants to be answered.
pub(crate) struct Exchange {
    pub(crate) request: Received,
    pub(crate) respond: SendResponse<Bytes>,
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
}

/// Reads a request to its end, and keeps it. Its trailers are headers whose names begin with `trailer `.
pub(super) async fn receive(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    connection: usize,
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
) -> Result<Exchange, h2::Error> {
    let (parts, mut body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap();
    let authority = parts.uri.authority().unwrap().as_str();
    let mut headers = vec![("host".to_owned(), authority.into())];
    let others = parts.headers.iter();
    headers.extend(others.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().into())));
    let mut received = Received {
        protocol: Protocol::Http2,
        connection,
        line: format!("{} {target} HTTP/2", parts.method),
        headers,
        ..Received::default()
    };
    while let Some(piece) = body.data().await {
        let piece = piece?;
        received.body.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let trailers = trailers.iter();
    let named = trailers.map(|(name, value)| (format!("trailer {name}"), value.as_bytes().into()));
    received.headers.extend(named);
    shared.keep(received.clone()).await;
    Ok(Exchange {
        request: received,
        respond,
        orders,
        shared,
    })
}

impl Exchange {
    pub(crate) fn target(&self) -> &str {
        self.request.target()
    }

    /// Answers with a body of this length, without saying so.
    pub(crate) async fn answer(
        mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut stream = self.begin(status, headers, false)?;
        send_all(&mut stream, body, true).await
    }

    /// Begins an answer; it may be all of it.
    pub(crate) fn begin(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        is_whole: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        let response = Response::builder().status(status);
        let response = headers.iter().fold(response, |response, (name, value)| {
            response.header(*name, *value)
        });
        self.respond
            .send_response(response.body(()).unwrap(), is_whole)
    }

    /// What becomes of the connection over which it came.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Waits until the proxy takes the request back, and keeps why.
    pub(crate) async fn until_reset(mut self) -> Result<(), h2::Error> {
        let reason: Reason = poll_fn(|cx| self.respond.poll_reset(cx)).await?;
        let reset = (self.request.connection, self.target().to_owned(), reason);
        self.shared.resets.lock().unwrap().push(reset);
        Ok(())
    }
}

/// Sends bytes as fast as the proxy takes them.
pub(crate) async fn send_all(
    stream: &mut SendStream<Bytes>,
    bytes: impl Into<Bytes>,
    is_last: bool,
) -> Result<(), h2::Error> {
    let mut bytes = bytes.into();
    if bytes.is_empty() && is_last {
        return stream.send_data(bytes, true);
    }
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let granted = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let count = granted.unwrap_or(Err(Reason::CANCEL.into()))?;
        let piece = bytes.split_to(count.min(bytes.len()));
        stream.send_data(piece, is_last && bytes.is_empty())?;
    }
    Ok(())
}
