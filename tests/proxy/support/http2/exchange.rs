//! A request over HTTP/2, and how it is answered.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::sync::mpsc::UnboundedSender;

use super::{Field, Order, Protocol, Received, Shared};

/// A request that is to be answered.
pub(crate) struct Exchange {
    pub(crate) request: Received,
    pub(crate) respond: SendResponse<Bytes>,
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
}

/// Reads a request to its end, and keeps it.
pub(super) async fn receive(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    connection: usize,
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
) -> Result<Exchange, h2::Error> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap();
    let authority = parts.uri.authority().unwrap().as_str();
    let host = vec![("host".to_owned(), authority.into())];
    let (body, trailers) = read_to_end(body).await?;
    let received = Received {
        protocol: Protocol::Http2,
        connection,
        line: format!("{} {target} HTTP/2", parts.method),
        headers: [host, fields("", &parts.headers), trailers].concat(),
        body,
        ..Received::default()
    };
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

    /// Sends a response without a `content-length`.
    pub(crate) async fn answer(
        mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut stream = self.begin(status, headers, false)?;
        send_all(&mut stream, body, true).await
    }

    /// Sends the head of a response, which may be all of it.
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

    /// Gives an order for the connection of the request.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Waits until the proxy resets the stream, and records the reason.
    pub(crate) async fn until_reset(mut self) -> Result<(), h2::Error> {
        let reason: Reason = poll_fn(|cx| self.respond.poll_reset(cx)).await?;
        let reset = (self.request.connection, self.target().to_owned(), reason);
        self.shared.resets.lock().unwrap().push(reset);
        Ok(())
    }
}

/// Reads a body, and its trailers as fields whose names begin with `trailer `.
pub(crate) async fn read_to_end(mut body: RecvStream) -> Result<(Vec<u8>, Vec<Field>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((bytes, fields("trailer ", &trailers)))
}

/// The fields of a map, with a prefix for their names.
pub(crate) fn fields(before: &str, map: &HeaderMap) -> Vec<Field> {
    let named = |(name, value): (&HeaderName, &HeaderValue)| {
        (format!("{before}{name}"), value.as_bytes().to_vec())
    };
    map.iter().map(named).collect()
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
