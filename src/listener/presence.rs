//! Notices that a caller has gone while its request is being worked on.
//!
//! A caller that closes its connection and one that has only finished sending look the same: the
//! stream ends. The second still wants its answer. So a caller whose stream has ended is sent an
//! interim answer now and then, which every HTTP/1.1 client passes over; from one that has gone, the
//! system sends a reset back. The first one is sent after a second, so that short answers come alone.
//!
//! While nothing is read, a reset goes unnoticed: the bytes before it come first. So whoever is not read
//! from for a while is looked at as well.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::http1::{Caller, Wire};

/// How often the connection is looked at once the stream has ended, or while nothing is read.
const LOOK: Duration = Duration::from_millis(250);

/// After how many looks something is sent: first, and then again and again.
const FIRST: u32 = 3;
const AGAIN: u32 = 40;

/// The most that is read ahead of a caller that sends further requests meanwhile, in bytes.
const AHEAD: usize = 64 * 1024;

const INTERIM: Bytes = Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n");

/// What is known of a caller's presence.
#[derive(Debug, Default)]
pub(super) struct Presence {
    looks: Option<Pin<Box<Interval>>>,
    /// Looks since the stream has ended.
    count: u32,
}

impl Presence {
    /// Ready when the caller has gone. `may_send` says whether an interim answer can be sent now.
    pub(super) fn poll_gone(
        &mut self,
        wire: &mut Wire,
        may_send: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while !wire.is_ended() {
            // What comes now belongs to the next request. Too much of it is left to wait.
            if wire.input().len() >= AHEAD {
                return self.poll_failed(wire, cx);
            }
            if ready!(wire.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
        }
        while self.poll_look(cx).is_ready() {
            if wire.has_failed() {
                return Poll::Ready(());
            }
            self.count += 1;
            let is_due = self.count > FIRST && (self.count - FIRST) % AGAIN == 1;
            if is_due && may_send {
                wire.queue(INTERIM);
            }
            if let Poll::Ready(Err(_)) = wire.poll_flush(cx) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Ready when a caller has gone whose body is being read.
    pub(super) fn poll_gone_mid_body(
        &mut self,
        caller: &mut Caller,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // The one who reads notices, unless it has enough for now.
        if caller.is_awaited() {
            return Poll::Pending;
        }
        self.poll_failed(&mut caller.wire, cx)
    }

    /// Ready when the caller has gone, as far as that shows without reading. To be called while nobody
    /// reads.
    pub(super) fn poll_failed(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<()> {
        while self.poll_look(cx).is_ready() {
            if wire.has_failed() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let looks = self.looks.get_or_insert_with(|| {
            let mut looks = interval_at(Instant::now() + LOOK, LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Box::pin(looks)
        });
        looks.as_mut().get_mut().poll_tick(cx).map(|_| ())
    }
}
