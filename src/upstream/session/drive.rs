//! What moves the bytes of an HTTP/2 connection, from its beginning to its end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use tokio::time::Instant;

use super::cork::Cork;

/// How many requests the gateway takes at once, while it has not said it: a number that it cannot say.
pub(super) const UNSAID: usize = usize::MAX - 1;

/// Moves what goes over a connection until its end.
pub(super) async fn drive(
    mut connection: Connection<Cork, Bytes>,
    cork: Cork,
    ended: Rc<Cell<Option<Instant>>>,
) {
    if let Err(error) = poll_fn(|cx| poll_end(&mut connection, &cork, cx)).await {
        tracing::debug!(%error, "a connection to the gateway has ended");
    }
    ended.set(Some(Instant::now()));
}

/// Moves what can be moved; ready at the end of the connection.
fn poll_end(
    connection: &mut Connection<Cork, Bytes>,
    cork: &Cork,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let end = Pin::new(connection).poll(cx);
    match cork.poll_out(cx) {
        Poll::Ready(Err(error)) if end.is_pending() => Poll::Ready(Err(error)),
        _ => end.map_err(io_error),
    }
}

/// Moves what can be moved until the gateway has begun as well; how many requests it takes at once.
pub(super) async fn begun(
    sender: &SendRequest<Bytes>,
    connection: &mut Connection<Cork, Bytes>,
    cork: &Cork,
) -> io::Result<usize> {
    poll_fn(|cx| {
        let end = poll_end(connection, cork, cx);
        match (sender.current_max_send_streams(), end) {
            (UNSAID, Poll::Pending) => Poll::Pending,
            (UNSAID, Poll::Ready(Ok(()))) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            (UNSAID, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (most, _) => Poll::Ready(Ok(most)),
        }
    })
    .await
}

/// What went wrong, for somebody who does not know of HTTP/2.
pub(in crate::upstream) fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        let kind = error.get_io().map(io::Error::kind);
        return error
            .into_io()
            .unwrap_or_else(|| kind.unwrap_or(io::ErrorKind::Other).into());
    }
    io::Error::other(error)
}
