//! One request of a caller's and its answer.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tower::Service;

use super::closing::{self, Discard};
use super::presence::Presence;
use super::writing::Writing;
use crate::config::Timeouts;
use crate::guard::ListenerKind;
use crate::http1::{Caller, Encoder, Framing, Incoming, RequestHead, Version, push_field};
use crate::proxy::{Announced, Request, Response, ResponseBody, tunnel};
use crate::telemetry::access::End;
use crate::upstream::Connection;

/// How a connection is after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// It can carry the next request.
    Kept,
    /// It has ended.
    Closed,
    /// It ends, but the caller may not have read the answer yet.
    Answered,
    /// It ends, but the caller may still be sending, and has not read the answer yet.
    Unread,
}

/// What an exchange works with.
pub(super) struct Exchange<'a> {
    caller: Rc<RefCell<Caller>>,
    timeouts: &'a Timeouts,
    ending: CancellationToken,
    presence: Presence,
    /// For what comes of a request body that nobody wants.
    discard: Discard,
}

/// What of a request decides how its answer is written.
#[derive(Clone, Copy)]
struct Terms {
    version: Version,
    is_head: bool,
    keeps_alive: bool,
}

impl Terms {
    /// For a request that could not be read.
    const UNKNOWN: Self = Self {
        version: Version::Http11,
        is_head: false,
        keeps_alive: false,
    };
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        caller: Rc<RefCell<Caller>>,
        timeouts: &'a Timeouts,
        ending: CancellationToken,
    ) -> Self {
        Self {
            caller,
            timeouts,
            ending,
            presence: Presence::default(),
            discard: Discard::default(),
        }
    }

    /// Has a request answered and writes the answer. A caller that goes away meanwhile ends it.
    pub(super) async fn run<S>(
        &mut self,
        head: RequestHead,
        listener: ListenerKind,
        service: &mut S,
    ) -> Finished
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let terms = Terms {
            version: head.version,
            is_head: head.method() == "HEAD",
            keeps_alive: head.keeps_alive(),
        };
        self.caller.borrow_mut().begin(&head);
        let body = Incoming::new(Rc::clone(&self.caller), head.framing);
        let mut answering = pin!(service.call(Request {
            head,
            body,
            listener,
        }));
        let response = poll_fn(|cx| {
            let response = answering.as_mut().poll(cx);
            if let Poll::Ready(Ok(response)) = response {
                return Poll::Ready(Some(response));
            }
            self.poll_gone(terms, cx).map(|()| None)
        });
        match response.await {
            Some(response) => self.answer(terms, response).await,
            None => Finished::Closed,
        }
    }

    /// Writes what is queued for the caller, and notices when it goes.
    fn poll_gone(&mut self, terms: Terms, cx: &mut Context<'_>) -> Poll<()> {
        let mut caller = self.caller.borrow_mut();
        if let Poll::Ready(Err(_)) = caller.wire.poll_flush(cx) {
            return Poll::Ready(());
        }
        if !caller.has_all() {
            return self.presence.poll_gone_mid_body(&mut caller, cx);
        }
        let may_send = terms.version == Version::Http11;
        self.presence.poll_gone(&mut caller.wire, may_send, cx)
    }

    /// Answers a request that could not be read; the connection ends then.
    pub(super) async fn refuse(&mut self, response: Response) -> Finished {
        let finished = self.answer(Terms::UNKNOWN, response).await;
        // Where the next request begins is not known, so all that comes is unread.
        if finished == Finished::Closed {
            finished
        } else {
            Finished::Unread
        }
    }

    /// Ends the connection so that the caller can read its answer, within `limit`.
    pub(super) async fn linger(self, limit: Duration) {
        closing::linger(&self.caller, self.discard, limit).await;
    }

    async fn answer(&mut self, terms: Terms, mut response: Response) -> Finished {
        // In flight until the answer was written, or was given up.
        let flight = response.flight.take();
        let (finished, end) = self.write(terms, response).await;
        if let Some(flight) = flight {
            flight.ended(end);
        }
        finished
    }

    async fn write(&mut self, terms: Terms, mut response: Response) -> (Finished, End) {
        // Of what is being sent on, the end is waited for.
        let has_all = response.body.is_uploading() || self.caller.borrow_mut().discard_buffered();
        let keeps_alive = terms.keeps_alive
            && has_all
            && !response.closes
            && !self.ending.is_cancelled()
            && (response.length != Announced::Unknown || terms.version == Version::Http11);
        let framing = finish_head(&mut response, terms, keeps_alive);
        self.caller.borrow_mut().wire.queue(response.head.into());
        let (presence, discard) = (&mut self.presence, &mut self.discard);
        let idle = self.timeouts.idle;
        let mut writing = Writing::new(&self.caller, presence, discard, response.body, idle);
        let has_body = !framing.is_empty() && !terms.is_head;
        if has_body {
            writing.add_body(Encoder::new(framing));
        }
        // Only the end tells this caller that the answer is complete, so it must not come in good order
        // before, not even when the process ends.
        let is_told_by_end = has_body && framing == Framing::UntilClose;
        if is_told_by_end {
            self.caller.borrow_mut().wire.reset_on_close();
        }
        if let Err(gone) = poll_fn(|cx| writing.poll(cx)).await {
            let caller = self.caller.borrow();
            caller.traffic().lose(caller.wire.pending());
            return (Finished::Closed, gone.into());
        }
        if is_told_by_end {
            self.caller.borrow_mut().wire.end_on_close();
        }
        if let ResponseBody::Tunnel(connection) = writing.body {
            return (Finished::Closed, self.tunnel(*connection).await);
        }
        (self.finished(keeps_alive), End::Whole)
    }

    fn finished(&self, keeps_alive: bool) -> Finished {
        let mut caller = self.caller.borrow_mut();
        if keeps_alive && caller.has_all() {
            Finished::Kept
        } else if caller.wire.is_ended() {
            Finished::Closed
        } else if caller.has_all() && caller.wire.input().is_empty() {
            Finished::Answered
        } else {
            Finished::Unread
        }
    }

    async fn tunnel(&self, connection: Connection) -> End {
        match tunnel(&self.caller, connection, self.timeouts.idle).await {
            Ok(()) => End::Whole,
            Err(error) => {
                tracing::info!(%error, "a WebSocket was cut off");
                End::BrokenOff
            }
        }
    }
}

/// Adds to a head how the body is framed and what becomes of the connection.
fn finish_head(response: &mut Response, terms: Terms, keeps_alive: bool) -> Framing {
    let head = &mut response.head;
    let framing = match response.length {
        Announced::Nothing => Framing::Length(0),
        Announced::Length(length) => {
            push_field(head, "content-length", length.to_string().as_bytes());
            Framing::Length(if response.status == 304 { 0 } else { length })
        }
        Announced::Unknown if terms.version == Version::Http11 => {
            push_field(head, "transfer-encoding", b"chunked");
            Framing::Chunked
        }
        Announced::Unknown => Framing::UntilClose,
    };
    match (&response.body, terms.version) {
        (ResponseBody::Tunnel(_), _) => {}
        (_, Version::Http10) if keeps_alive => push_field(head, "connection", b"keep-alive"),
        _ if !keeps_alive => push_field(head, "connection", b"close"),
        _ => {}
    }
    head.extend_from_slice(b"\r\n");
    framing
}
