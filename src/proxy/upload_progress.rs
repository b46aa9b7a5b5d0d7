//! The progress of a request body on its way to the gateway, shared by the body, the attempts and
//! the response.
//!
//! hyper owns the body while it is sent, and may drop it late: each attempt has a number, so that
//! the body of an earlier attempt says nothing of the current one.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// The progress of a request body.
#[derive(Default)]
pub(super) struct Upload {
    /// Bytes received from the caller.
    pub(super) received: Cell<u64>,
    /// Bytes handed to hyper in this attempt.
    pub(super) sent: Cell<u64>,
    /// Set when the whole body was handed to hyper.
    pub(super) is_finished: Cell<bool>,
    /// Set when the gateway has responded and does not read the rest.
    pub(super) is_stopped: Cell<bool>,
    /// Since when more of a streamed body is awaited.
    paused: Cell<Option<Instant>>,
    /// The current attempt, and the last one whose body hyper dropped.
    attempt: Cell<u32>,
    pub(super) dropped: Cell<u32>,
    failure: RefCell<Option<Error>>,
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    /// Starts an attempt from the beginning of the body; returns its number.
    pub(super) fn begin(&self) -> u32 {
        self.sent.set(0);
        self.is_finished.set(false);
        self.is_stopped.set(false);
        self.attempt.set(self.attempt.get() + 1);
        self.attempt.get()
    }

    /// Returns `true` once no more of the body will be sent.
    pub(super) fn is_over(&self) -> bool {
        let is_dropped = self.attempt.get() > 0 && self.dropped.get() == self.attempt.get();
        self.is_finished.get() || self.is_stopped.get() || is_dropped
    }

    /// Records that more of a streamed body is awaited.
    pub(super) fn wait(&self) {
        if self.paused.get().is_none() {
            self.paused.set(Some(Instant::now()));
        }
    }

    /// How long the caller has sent nothing of a streamed body.
    pub(super) fn pause(&self) -> Duration {
        let since = self.paused.get();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Counts bytes received from the caller.
    pub(super) fn receive(&self, bytes: usize) {
        self.paused.set(None);
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Counts bytes handed to hyper for the gateway.
    pub(super) fn send(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        self.wake();
    }

    /// Records why the body cannot be sent to its end.
    pub(super) fn fail(&self, error: Error) {
        *self.failure.borrow_mut() = Some(error);
        self.wake();
    }

    /// Why the body could not be sent to its end.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// Ready when no more of the body will be sent.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over() || self.failure.borrow().is_some() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Wakes who waits for the end of the upload.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
