//! Connections with HTTP/2, each shared by many requests at once.
//!
//! Apart from the pool, since nothing is taken out and put back here: a request gets a stream of a
//! connection that stays where it is. What HTTP/2 itself takes is done by `h2`.
//!
//! # What can go wrong
//!
//! The gateway may end a connection while requests run over it, and then says up to which one it has
//! looked at (GOAWAY); or it refuses a single one. Requests that it has not looked at can be sent again. One
//! that stops answering would swallow every further request, so [`Session::retire`] has none sent over it.

mod cork;
mod drive;
mod speaks;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::pool::{Bounds, Pool, SHORTEST};
use cork::Cork;
pub(super) use drive::io_error;
use drive::{begun, drive};
use speaks::Speaks;

/// How many requests share a connection at most, whatever the gateway allows. What comes over it waits for
/// all of them when a packet is lost.
const STREAMS: usize = 100;

/// How much of an answer may be on its way to a caller that does not read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all requests of a connection: none has to wait for a caller of another one.
const WINDOW: u32 = 32 * 1024 * 1024;

/// Longest head of an answer, in bytes, as HTTP/2 counts them.
const HEAD: u32 = 64 * 1024;

/// The shared connections of one worker to one origin.
#[derive(Debug)]
pub(super) struct Sessions {
    open: RefCell<Vec<Rc<Session>>>,
    /// Whoever opens one holds it, so that a hundred requests do not open a hundred.
    pub(super) opening: Semaphore,
    gateway: Rc<Cell<Speaks>>,
}

/// One shared connection.
#[derive(Debug)]
pub(super) struct Session {
    /// Each request is sent by a clone. One that had sent a request would watch over its stream, and take the
    /// place of who waits to send its body.
    sender: RefCell<SendRequest<Bytes>>,
    gateway: Rc<Cell<Speaks>>,
    opened: Instant,
    /// How many requests it carries.
    live: Cell<usize>,
    /// When it last carried one.
    since: Cell<Instant>,
    /// Whether an answer has come over it.
    has_answered: Cell<bool>,
    is_retired: Cell<bool>,
    /// When the connection came to its end.
    ended: Rc<Cell<Option<Instant>>>,
    driver: AbortHandle,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            open: RefCell::default(),
            opening: Semaphore::new(1),
            gateway: Rc::new(Cell::new(Speaks::Unknown)),
        }
    }
}

impl Sessions {
    /// One that can take another request now.
    pub(super) fn find(&self) -> Option<Rc<Session>> {
        let open = self.open.borrow();
        let found = open.iter().find(|session| session.has_room())?;
        Some(Rc::clone(found))
    }

    /// Whether HTTP/2 is worth being offered.
    pub(super) fn may_be_offered(&self) -> bool {
        self.gateway.get().may_be_http2()
    }

    /// Whether a connection that is being opened by somebody else is likely to be one that can be shared.
    pub(super) fn are_likely(&self) -> bool {
        self.gateway.get().is_likely_http2()
    }

    /// Takes note that the gateway has chosen HTTP/1.1.
    pub(super) fn declined(&self) {
        if self.may_be_offered() {
            self.gateway.set(Speaks::Http1);
        }
    }

    /// Takes note that the gateway has agreed to HTTP/2 and does not speak it.
    pub(super) fn failed(&self) {
        if self.may_be_offered() {
            self.gateway.set(Speaks::Broken(Instant::now()));
        }
    }

    /// Begins to speak HTTP/2 over a connection on which the gateway has agreed to. To be called within a
    /// `LocalSet`.
    ///
    /// Waits for the gateway to begin as well. Until then it has not said how many requests it takes, and
    /// would refuse those beyond that; and if it never does, nothing was sent that could be lost.
    ///
    /// # Errors
    ///
    /// What ended the connection, or that it takes no request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, and loses nothing else.
    pub(super) async fn start(&self, stream: TlsStream<TcpStream>) -> io::Result<Rc<Session>> {
        let cork = Cork::new(stream);
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(drive::UNSAID)
            // What is still on its way for requests that were taken back is no fault of the gateway's.
            .max_concurrent_reset_streams(STREAMS)
            .max_local_error_reset_streams(None)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD);
        let started = builder.handshake(cork.clone()).await;
        let (sender, mut connection) = started.map_err(io_error)?;
        let most = begun(&sender, &mut connection, &cork).await?;
        if most == 0 {
            return Err(io::Error::other("the gateway takes no requests"));
        }
        let now = Instant::now();
        let ended = Rc::new(Cell::new(None));
        let session = Rc::new(Session {
            sender: RefCell::new(sender),
            gateway: Rc::clone(&self.gateway),
            opened: now,
            live: Cell::new(0),
            since: Cell::new(now),
            has_answered: Cell::new(false),
            is_retired: Cell::new(false),
            driver: spawn_local(drive(connection, cork, Rc::clone(&ended))).abort_handle(),
            ended,
        });
        if self.may_be_offered() {
            self.gateway.set(Speaks::Http2);
        }
        self.open.borrow_mut().push(Rc::clone(&session));
        Ok(session)
    }

    /// How many carry nothing.
    fn idle(&self) -> usize {
        let open = self.open.borrow();
        open.iter()
            .filter(|session| session.live.get() == 0)
            .count()
    }

    /// Lets go of those that are no longer good. They end when the last request over them has.
    pub(super) fn sweep(&self, pool: &Pool, bounds: &Bounds) {
        let limit = pool.idle_limit();
        self.open.borrow_mut().retain(|session| {
            let is_idle = session.live.get() == 0;
            if let Some(ended) = session.ended.get() {
                // One that ended under requests, or with the last of them, was not closed for being idle.
                let idle = ended.saturating_duration_since(session.since.get());
                if is_idle && idle >= SHORTEST {
                    pool.learn(idle);
                }
                return false;
            }
            let is_spent = is_idle && session.since.get().elapsed() >= limit;
            !is_spent && !session.is_retired.get() && session.opened.elapsed() < bounds.age
        });
        pool.count_shared(self.idle());
    }
}

impl Session {
    fn has_room(&self) -> bool {
        // How old it is, is looked at once a second.
        if self.is_retired.get() || self.ended.get().is_some() {
            return false;
        }
        let mut sender = self.sender.borrow_mut();
        // It has sent nothing, so this says only whether the connection is at its end, and wakes nobody.
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => self.live.get() < sender.current_max_send_streams().min(STREAMS),
            Poll::Ready(Err(_)) => {
                self.is_retired.set(true);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Has no further request sent over it.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
    }

    /// Takes note that the gateway wants HTTP/1.1.
    fn decline(&self) {
        self.gateway.set(Speaks::WantsHttp1);
        self.retire();
    }

    /// Whether an answer has come over it before.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.get()
    }

    /// Takes note of an answer.
    pub(super) fn answered(&self) {
        self.has_answered.set(true);
    }

    /// Counts a request that is to go over it.
    pub(super) fn enter(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// Counts the end of one.
    pub(super) fn leave(&self) {
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.since.set(Instant::now());
        }
    }

    /// Begins a request.
    pub(super) fn send(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.borrow().clone();
        sender.send_request(request, is_whole)
    }

    /// Whether an error means that the gateway has not looked at a request.
    pub(super) fn has_not_looked(&self, error: &h2::Error) -> bool {
        if !error.is_remote() {
            return false;
        }
        let is_refused = match error.reason() {
            Some(Reason::HTTP_1_1_REQUIRED) => {
                self.decline();
                true
            }
            // To a request before the one that GOAWAY names, the end of the connection is another error.
            Some(Reason::REFUSED_STREAM) => true,
            _ => error.is_go_away(),
        };
        if is_refused {
            self.retire();
        }
        is_refused
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing goes over it any more, and a peer that takes nothing must not keep it.
        self.driver.abort();
    }
}
