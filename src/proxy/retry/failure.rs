//! Why an attempt failed, and whether another one may be made.

use std::error::Error as StdError;

use crate::error::Error;
use crate::proxy::context::RequestContext;
use crate::proxy::prepare::Prepared;
use crate::upstream::{Mode, SendError};

/// How often connections failed a request.
#[derive(Debug, Default)]
pub(super) struct ConnectionFailures(usize);

impl ConnectionFailures {
    /// Which connection the next attempt has, or the failure if there is no other attempt.
    pub(super) fn next_mode(
        &mut self,
        failure: Failure,
        prepared: &Prepared,
    ) -> Result<Mode, Error> {
        if !self.may_retry(&failure, prepared) {
            return Err(failure.into());
        }
        // The last attempt has a connection of its own, which no other request can end.
        Ok(match prepared.mode() {
            Mode::Shared if self.0 > 1 => Mode::Exclusive,
            mode => mode,
        })
    }

    /// Whether another attempt is made after this failure: one, or two if the gateway has not looked at the
    /// request, since a gateway that goes away ends all shared connections, one after the other.
    fn may_retry(&mut self, failure: &Failure, prepared: &Prepared) -> bool {
        let most = match failure {
            Failure::NotSent { .. } => 2,
            Failure::NoAnswer { .. } => 1,
            Failure::Other(_) => 0,
        };
        let may_retry = self.0 < most && failure.is_harmless(prepared);
        self.0 += 1;
        may_retry && prepared.body.is_repeatable()
    }
}

/// Why no answer came.
pub(super) enum SendFailure {
    Send(SendError),
    Timeout,
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// The gateway did not process the request: nothing of it was written, or the gateway says so.
    NotSent {
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The connection ended without a byte of an answer.
    NoAnswer {
        cause: Box<dyn StdError + Send + Sync>,
        /// Whether it had carried requests before, so that it may have been closed for being idle.
        was_reused: bool,
    },
    Other(Error),
}

impl Failure {
    pub(super) fn new(failure: SendFailure, context: &RequestContext, was_reused: bool) -> Self {
        if let Some(error) = context.upload.take_failure() {
            return Self::Other(error);
        }
        let error = match failure {
            SendFailure::Timeout => return Self::Other(Error::ResponseTimeout),
            SendFailure::Send(error) => error,
        };
        match error {
            SendError::NotSent(cause) => Self::NotSent { cause },
            SendError::NoAnswer(cause) => Self::NoAnswer { cause, was_reused },
            SendError::AnswerHeadTooLarge => Self::Other(Error::AnswerHeaderTooLarge),
            SendError::BadResponse(cause) => Self::Other(Error::BadResponse(cause)),
            SendError::Broken(cause) => Self::Other(Error::UpstreamReset(cause)),
        }
    }

    /// Whether sending the request again can do no harm. A connection that carried requests before is usually
    /// closed for having been idle, and then the gateway has not read the request.
    fn is_harmless(&self, prepared: &Prepared) -> bool {
        match self {
            Self::NotSent { .. } => true,
            Self::NoAnswer { was_reused, .. } => *was_reused && prepared.method.is_idempotent(),
            Self::Other(_) => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent { cause } => Self::NotSent(cause),
            Failure::NoAnswer { cause, .. } => Self::UpstreamReset(cause),
            Failure::Other(error) => error,
        }
    }
}
