//! Why a service gives nothing. Texts say what to do, and hold nothing of an answer but a code.

use crate::config::secret::SecretFileError;
use crate::error::Error;
use crate::upstream::OneshotError;

/// Why a service gives nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It was not reached.
    #[error("it cannot be reached: {}", reached(.0))]
    Unreached(#[source] Error),
    /// It did not answer in time.
    #[error(
        "it did not answer in time; check the network, or whether something else has its address"
    )]
    Silent,
    /// What it answered is not HTTP, or broke off.
    #[error("its answer broke off or is not http; check the endpoint")]
    Broken(#[source] hyper::Error),
    /// It refused.
    #[error("it refused with status {status}{}; {remedy}", in_brackets(.code.as_deref()))]
    Refused {
        /// The status of its answer.
        status: u16,
        /// The code in it.
        code: Option<String>,
        /// What to do.
        remedy: &'static str,
    },
    /// The server has no agency.
    #[error(
        "this server has no agency; choose one for it in the console (ECS, Management Information, Agency)"
    )]
    NoAgency,
    /// What it answered is not what it should.
    #[error("its answer is not the one expected ({0}); check the endpoint")]
    Garbage(&'static str),
    /// What it gave is not good any more.
    #[error("what it gave has already come to its end; check its clock and this machine's")]
    Expired,
    /// A file that it needs cannot be read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A file that it needs has something else in it.
    #[error("the file of {0} does not hold one line of text; write it anew")]
    NotText(&'static str),
}

fn reached(error: &Error) -> String {
    match error.cause() {
        cause if cause.is_empty() => "connecting took too long".to_owned(),
        cause => cause,
    }
}

fn in_brackets(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

impl From<OneshotError> for ServiceError {
    fn from(error: OneshotError) -> Self {
        match error {
            OneshotError::Unreached(error) => Self::Unreached(error),
            OneshotError::Silent => Self::Silent,
            OneshotError::Broken(error) => Self::Broken(error),
            OneshotError::TooLong => Self::Garbage("it is too long"),
        }
    }
}
