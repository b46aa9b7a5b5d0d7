//! An answer on its way to the caller, and the rest of the request on its way to the gateway.
//!
//! The two go on side by side: a caller may read its answer only after it has sent everything, and a
//! gateway may answer before it has taken everything. Neither may wait for the other.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::closing::Discard;
use super::presence::Presence;
use crate::http1::{Caller, Encoder, IdleTimer, Traffic};
use crate::proxy::{ResponseBody, ResponseEnded};
use crate::telemetry::access::End;

/// How long an answer may stand still for a caller that has ended in the middle of its request.
const LEAVING: Duration = Duration::from_secs(1);

/// An answer on its way to the caller.
pub(super) struct Writing<'a> {
    caller: &'a RefCell<Caller>,
    presence: &'a mut Presence,
    discard: &'a mut Discard,
    pub(super) body: ResponseBody,
    encoder: Encoder,
    traffic: Rc<Traffic>,
    /// Whether all of it was queued.
    is_complete: bool,
    /// Bytes that were written to both sides when this was last looked at.
    moved: u64,
    /// Runs while the caller takes nothing and nothing of its request goes on.
    stalled: IdleTimer,
    /// Runs while nothing comes for a caller that has ended too early.
    leaving: IdleTimer,
}

/// Who has gone, so that the answer cannot be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Caller,
    Gateway,
}

impl From<ResponseEnded> for Gone {
    fn from(ended: ResponseEnded) -> Self {
        match ended {
            ResponseEnded::Unsent(_) => Self::Caller,
            ResponseEnded::Idle | ResponseEnded::Broken(_) => Self::Gateway,
        }
    }
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Caller => Self::CallerGone,
            Gone::Gateway => Self::BrokenOff,
        }
    }
}

impl<'a> Writing<'a> {
    /// An answer whose head is queued. `idle` is how long the caller may take nothing.
    pub(super) fn new(
        caller: &'a RefCell<Caller>,
        presence: &'a mut Presence,
        discard: &'a mut Discard,
        body: ResponseBody,
        idle: Duration,
    ) -> Self {
        Self {
            caller,
            presence,
            discard,
            body,
            encoder: Encoder::Plain,
            traffic: Rc::clone(caller.borrow().traffic()),
            is_complete: true,
            moved: 0,
            stalled: IdleTimer::new(idle),
            leaving: IdleTimer::new(LEAVING),
        }
    }

    /// Has the body written as well, and not only the head.
    pub(super) fn add_body(&mut self, encoder: Encoder) {
        self.encoder = encoder;
        self.is_complete = false;
    }

    /// Writes the answer as far as it has come, and no faster than the caller takes it. Ready when that
    /// is done, and the request has been sent to its end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            let is_uploaded = self.body.poll_upload(cx)?.is_ready();
            let was_complete = self.is_complete;
            let is_waiting = self.poll_pieces(cx)?.is_pending();
            let flushed = self.caller.borrow_mut().wire.poll_flush(cx);
            let is_flushed = flushed.map_err(|_| Gone::Caller)?.is_ready();
            let is_over = self.is_complete && is_flushed;
            if is_over && is_uploaded {
                return Poll::Ready(Ok(()));
            }
            if is_flushed && !is_waiting && !was_complete {
                continue;
            }
            self.note_progress(is_flushed);
            if !is_flushed && self.poll_stalled(cx).is_ready() {
                return Poll::Ready(Err(Gone::Caller));
            }
            return self.poll_gone(is_over, cx).map(|()| Err(Gone::Caller));
        }
    }

    /// Queues pieces of the body until there are enough, or none for now.
    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while !self.is_complete && !self.caller.borrow().wire.is_full() {
            let piece = ready!(self.body.poll_piece(cx));
            let wire = &mut self.caller.borrow_mut().wire;
            match piece {
                Some(Ok(piece)) => {
                    self.traffic.send(piece.len());
                    self.encoder.queue(wire, piece);
                }
                Some(Err(ended)) => {
                    // What came before the end is the caller's. If it is not taken now, it is lost.
                    let _ = wire.poll_flush(cx);
                    return Poll::Ready(Err(ended.into()));
                }
                None => {
                    self.encoder.finish(wire, self.body.take_trailers());
                    self.is_complete = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note_progress(&mut self, is_flushed: bool) {
        let moved = self.caller.borrow().wire.written() + self.body.uploaded();
        if moved != self.moved {
            self.leaving.stop();
        }
        if moved != self.moved || is_flushed {
            self.stalled.stop();
        }
        self.moved = moved;
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.stalled.poll_expired(cx));
        tracing::info!("a caller stopped reading its answer and was cut off (timeouts.idle)");
        Poll::Ready(())
    }

    /// Ready when the caller has gone.
    fn poll_gone(&mut self, is_over: bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut caller = self.caller.borrow_mut();
        if caller.has_all() {
            // With the answer it may leave: its request is complete, and still has to arrive.
            if is_over {
                return Poll::Pending;
            }
            return self.presence.poll_gone(&mut caller.wire, false, cx);
        }
        if self.body.is_uploading() {
            return self.presence.poll_gone_mid_body(&mut caller, cx);
        }
        // Whoever is still sending what nobody reads might not read its answer either.
        if ready!(self.discard.poll(&mut caller.wire, cx)).is_err() {
            return Poll::Ready(());
        }
        if !caller.wire.is_ended() {
            return self.presence.poll_failed(&mut caller.wire, cx);
        }
        // It may have stopped because of what it has read of the answer, and want the rest.
        self.leaving.poll_expired(cx)
    }
}
