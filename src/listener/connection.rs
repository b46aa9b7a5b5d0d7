//! One connection of a caller's: requests one after the other, until either side ends it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::closing;
use super::exchange::{Exchange, Finished};
use super::sockets::Accepted;
use crate::config::Timeouts;
use crate::error::Error;
use crate::http1::{Caller, Malformed, RequestHead, Scanner, Traffic, Wire};
use crate::proxy::{Request, Response, Settings};

/// How long a connection that has just been accepted may still take to bring its first request when the
/// process ends: the caller could not know.
const ARRIVING: Duration = Duration::from_millis(250);

/// What connections are told of the end of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// The end is near: each answer is the last one of its connection, and says so.
    pub(super) soon: CancellationToken,
    /// What is running is finished, and nothing more is taken.
    pub(super) now: CancellationToken,
}

impl Ending {
    /// What a future resolves to, unless the process ends, and the future does not resolve soon.
    async fn spare<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.now.cancelled().await;
            tokio::time::sleep(ARRIVING).await;
        };
        tokio::select! {
            biased;
            resolved = future => Some(resolved),
            () = late => None,
        }
    }
}

/// Serves one connection: `service` answers requests, and `refuse` what cannot be read as one, until the
/// `ending`.
pub(super) async fn serve<S>(
    accepted: Accepted,
    mut service: S,
    refuse: impl Fn(&Error, Rc<Traffic>) -> Response,
    settings: &Settings,
    ending: Ending,
) where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let (timeouts, longest) = (settings.timeouts(), settings.limits().header);
    let listener = accepted.kind();
    // TLS takes much room for its handshake, and none of it afterwards.
    let opening = Box::pin(open(accepted, timeouts.header_read));
    let opened = ending.spare(opening).await;
    let Some(wire) = opened.flatten() else { return };
    let caller = Rc::new(RefCell::new(Caller::new(wire)));
    let mut is_first = true;
    loop {
        let arrived = next(&caller, timeouts, longest, is_first, &ending);
        let soon = ending.soon.clone();
        let mut exchange = Exchange::new(Rc::clone(&caller), timeouts, soon);
        let finished = match arrived.await {
            Arrived::Nothing => return,
            Arrived::Request(head) => exchange.run(*head, listener, &mut service).await,
            Arrived::Malformed(malformed) => {
                let traffic = Rc::clone(caller.borrow().traffic());
                traffic.begin();
                let response = refuse(&refusal(malformed), traffic);
                exchange.refuse(response).await
            }
        };
        match finished {
            Finished::Kept => is_first = false,
            Finished::Closed => return,
            Finished::Answered => return exchange.linger(closing::SHORT).await,
            Finished::Unread => return exchange.linger(closing::LONG).await,
        }
    }
}

/// Makes a connection ready to be read from; with TLS, that takes a handshake. Nothing comes of one that
/// cannot be used.
async fn open(accepted: Accepted, limit: Duration) -> Option<Wire> {
    let opened = try_open(accepted, limit).await;
    opened
        .inspect_err(
            |error| tracing::info!(%error, "a connection of a caller's could not be served"),
        )
        .ok()
}

async fn try_open(accepted: Accepted, limit: Duration) -> io::Result<Wire> {
    Ok(match accepted {
        Accepted::Unix(stream) => Wire::new(tokio::net::UnixStream::from_std(stream)?),
        Accepted::Tcp(stream, None) => Wire::new(tokio::net::TcpStream::from_std(stream)?),
        Accepted::Tcp(stream, Some(tls)) => {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            Wire::new(tls.accept(stream, limit).await?)
        }
    })
}

/// What came on a connection.
enum Arrived {
    Request(Box<RequestHead>),
    Malformed(Malformed),
    /// Nothing that is to be answered: the caller ended, or took too long.
    Nothing,
}

/// Waits for the next request: for its first byte as long as a connection may be idle, then for the
/// rest of its head. The first one is expected at once.
async fn next(
    caller: &RefCell<Caller>,
    timeouts: &Timeouts,
    limit: usize,
    is_first: bool,
    ending: &Ending,
) -> Arrived {
    let arrived = async {
        // Once the process ends, only a request that has begun to arrive is waited for.
        if is_first && ending.spare(first_byte(caller)).await != Some(true) {
            return Arrived::Nothing;
        }
        head(caller, limit).await
    };
    if !is_first {
        caller.borrow_mut().wire.rest();
        let begun = ending.now.run_until_cancelled(first_byte(caller));
        if !matches!(timeout(timeouts.keep_alive, begun).await, Ok(Some(true))) {
            return Arrived::Nothing;
        }
    }
    let arrived = timeout(timeouts.header_read, arrived).await;
    arrived.unwrap_or_else(|_| {
        tracing::info!("a caller took too long to send a request head (timeouts.header_read)");
        Arrived::Nothing
    })
}

/// Whether a request has begun to arrive; `false` if the caller has ended instead. An empty line is none:
/// some callers send one after a body.
async fn first_byte(caller: &RefCell<Caller>) -> bool {
    poll_fn(|cx| {
        let wire = &mut caller.borrow_mut().wire;
        while matches!(&wire.input()[..], b"" | b"\r" | b"\r\n") {
            if !ready!(wire.poll_fill(cx)).is_ok_and(|read| read > 0) {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    })
    .await
}

async fn head(caller: &RefCell<Caller>, limit: usize) -> Arrived {
    let mut scanner = Scanner::default();
    poll_fn(|cx| {
        let wire = &mut caller.borrow_mut().wire;
        loop {
            match scanner.find(wire.input(), limit) {
                Err(malformed) => return Poll::Ready(Arrived::Malformed(malformed)),
                Ok(None) => {}
                Ok(Some(span)) => {
                    let head = wire.input().split_to(span.end).freeze();
                    return Poll::Ready(match RequestHead::parse(&head.slice(span.start..)) {
                        Ok(head) => Arrived::Request(Box::new(head)),
                        Err(malformed) => Arrived::Malformed(malformed),
                    });
                }
            }
            match wire.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Arrived::Nothing),
            }
        }
    })
    .await
}

/// How a head that cannot be read is answered.
fn refusal(malformed: Malformed) -> Error {
    match malformed {
        Malformed::HeadTooLong | Malformed::TooManyFields => Error::HeaderTooLarge,
        Malformed::FirstLineTooLong => Error::TargetTooLong,
        other => Error::Malformed(other),
    }
}
