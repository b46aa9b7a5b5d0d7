//! How far a request body has come.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::error::Error;

/// How far the request body has come on its way to the gateway.
#[derive(Default)]
pub(in crate::proxy) struct Upload {
    pub(super) received: Cell<u64>,
    pub(super) sent: Cell<u64>,
    pub(super) finished: Cell<Option<Instant>>,
    stopped: Cell<bool>,
    /// Which attempt this is, and which was the last whose body hyper let go of.
    attempt: Cell<u32>,
    dropped: Cell<u32>,
    failure: RefCell<Option<Error>>,
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    /// Begins to send the body, from its beginning; returns the number of the attempt.
    pub(in crate::proxy) fn begin(&self) -> u32 {
        self.sent.set(0);
        self.finished.set(None);
        self.stopped.set(false);
        self.attempt.set(self.attempt.get() + 1);
        self.attempt.get()
    }

    /// Records that hyper let go of the body of an attempt: no more of it will be sent.
    pub(in crate::proxy) fn dropped(&self, attempt: u32) {
        self.dropped.set(attempt);
        self.wake();
    }

    /// Whether no more of the body will be sent, although it was not sent to its end.
    pub(in crate::proxy) fn is_given_up(&self) -> bool {
        self.is_stopped() || (self.attempt.get() > 0 && self.dropped.get() == self.attempt.get())
    }

    /// Has no more of the body sent: the gateway has answered, and does not want the rest.
    pub(in crate::proxy) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Whether no more of the body is to be sent.
    pub(in crate::proxy) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Counts bytes that came from the caller.
    pub(in crate::proxy) fn receive(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Counts bytes that go to the gateway.
    pub(in crate::proxy) fn send(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        self.wake();
    }

    /// Bytes of the body that were handed over for sending.
    pub(in crate::proxy) fn sent_bytes(&self) -> u64 {
        self.sent.get()
    }

    /// Records that everything was handed over.
    pub(in crate::proxy) fn finish(&self) {
        if self.finished.get().is_none() {
            self.finished.set(Some(Instant::now()));
        }
        self.wake();
    }

    /// Whether everything was handed over.
    pub(in crate::proxy) fn is_finished(&self) -> bool {
        self.finished.get().is_some()
    }

    /// Records why the body cannot be sent to its end.
    pub(in crate::proxy) fn fail(&self, error: Error) {
        *self.failure.borrow_mut() = Some(error);
        self.wake();
    }

    /// Why the body cannot be sent to its end, if that is so.
    pub(in crate::proxy) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// Ready when everything was handed over, or nothing more will be.
    pub(in crate::proxy) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_finished() || self.is_given_up() || self.failure.borrow().is_some() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
