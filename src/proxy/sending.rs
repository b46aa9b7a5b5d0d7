//! One request on its way: it is sent, and the head of its answer waited for, both at once.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::attempt::Failure;
use super::body::RequestBody;
use super::head::{is_for_caller, pass_through};
use super::payload::Prepared;
use super::proof::Signed;
use super::reply::Reply;
use crate::error::Error;
use crate::http1::{IdleTimer, Malformed, ResponseHead};
use crate::upstream::{Connection, ReceiveError, SendError};

/// How many interim answers are waited through.
const INTERIM: usize = 32;

/// A request on its way.
pub(super) struct Sending<'a> {
    connection: &'a mut Connection,
    body: &'a mut RequestBody,
    reply: &'a Reply,
    is_websocket: bool,
    is_sent: bool,
    /// Why no more can be written; the answer may be there all the same.
    broken: Option<std::io::Error>,
    /// Runs while nothing is sent and nothing comes.
    silence: IdleTimer,
    /// Bytes that the connection had written before, and when this was last looked at.
    started: u64,
    written: u64,
    interim: usize,
    /// Whether the wait ended with an answer or an error, and was not given up.
    is_over: bool,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        connection: &'a mut Connection,
        signed: Signed,
        prepared: &'a mut Prepared,
        limit: Duration,
    ) -> Self {
        let written = connection.written();
        connection.begin(
            signed.into_head(),
            prepared.body.framing(),
            prepared.reply.to_head,
        );
        Self {
            connection,
            body: &mut prepared.body,
            reply: &prepared.reply,
            is_websocket: prepared.is_websocket,
            is_sent: false,
            broken: None,
            silence: IdleTimer::new(limit),
            started: written,
            written,
            interim: 0,
            is_over: false,
        }
    }

    /// The head of the answer, and whether the request was sent to its end before.
    pub(super) async fn answer(mut self) -> Result<(ResponseHead, bool), Failure> {
        let head = poll_fn(|cx| self.poll_answer(cx)).await;
        self.is_over = true;
        match head {
            Ok(head) => Ok((head, self.is_sent)),
            Err(Error::NotSent(error)) => Err(Failure::Untouched(error)),
            Err(Error::UpstreamReset(error)) if self.connection.written() == self.started => {
                Err(Failure::Unsent(error))
            }
            Err(Error::UpstreamReset(error))
                if self.interim == 0 && !self.connection.has_input() =>
            {
                Err(Failure::Unanswered(error))
            }
            Err(error) => Err(Failure::Other(error)),
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        // The gateway may answer before it has taken the whole request.
        while let Poll::Ready(head) = self.connection.poll_head(cx) {
            match head.map_err(|error| self.failure(error)) {
                Ok(head) if head.is_interim() && !self.is_switch(&head) => {
                    self.silence.stop();
                    if let Err(error) = self.pass_interim(&head) {
                        return Poll::Ready(Err(error));
                    }
                }
                answered => return Poll::Ready(answered),
            }
        }
        // The limit is for the gateway's answer, so the time in which the body is sent does not count.
        if self.connection.written() != self.written {
            self.written = self.connection.written();
            self.silence.stop();
        }
        self.silence.poll_expired(cx).map(|()| {
            self.connection.distrust();
            Err(Error::ResponseTimeout)
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_sent || self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.connection
            .poll_send(cx, self.body)
            .map(|sent| match sent {
                Ok(()) => {
                    self.is_sent = true;
                    Ok(())
                }
                Err(SendError::Body(error)) => Err(error),
                Err(SendError::Io(error)) => {
                    self.broken = Some(error);
                    Ok(())
                }
            })
    }

    fn is_switch(&self, head: &ResponseHead) -> bool {
        let protocol = || head.fields.lists("upgrade", "websocket");
        self.is_websocket && head.status == 101 && protocol()
    }

    /// Passes an interim answer on. `100 Continue` is not: the caller was asked for the body before.
    fn pass_interim(&mut self, head: &ResponseHead) -> Result<(), Error> {
        self.interim += 1;
        if head.status == 101 {
            return Err(Error::BadResponse(Malformed::Switched));
        }
        if self.interim > INTERIM {
            return Err(Error::BadResponse(Malformed::Interim));
        }
        if let Some(interim) = self.reply.interim.as_ref().filter(|_| head.status != 100) {
            let mut passed = super::respond::status_line(head);
            pass_through(&head.fields, &mut passed, is_for_caller);
            passed.extend_from_slice(b"\r\n");
            interim.send(passed);
        }
        Ok(())
    }

    /// What it means that no head came.
    fn failure(&mut self, error: ReceiveError) -> Error {
        match error {
            ReceiveError::Malformed(malformed) => Error::BadResponse(malformed),
            ReceiveError::Untouched(error) => Error::NotSent(error),
            ReceiveError::Io(error) => Error::UpstreamReset(self.broken.take().unwrap_or(error)),
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.connection.written() > self.started {
            tracing::info!(
                "the caller went away before the gateway answered; whether the request was executed is unknown"
            );
        }
    }
}
