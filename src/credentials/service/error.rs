//! Why a service gives nothing. Texts say what to do, and hold nothing of a response but a code.

use crate::credentials::CredentialsError;
use crate::upstream::OneshotError;

/// Why a service gives nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The exchange failed.
    #[error(transparent)]
    Exchange(#[from] OneshotError),
    /// It refused.
    #[error("it refused with status {status}{}\nhint: {hint}", in_brackets(.code.as_deref()))]
    Refused {
        /// The status of its response.
        status: u16,
        /// The code in it.
        code: Option<String>,
        /// What to do.
        hint: &'static str,
    },
    /// The server has no agency.
    #[error(
        "this server has no agency\nhint: choose one for it in the console (ECS, Management Information, Agency)"
    )]
    NoAgency,
    /// It exchanges the key of another source, and there is none.
    #[error("there is no key to ask with\\nhint: check `credentials.source`")]
    NoKey,
    /// Its response has another content than it should.
    #[error("its answer is not the one expected ({0})\nhint: check the endpoint")]
    Garbage(&'static str),
    /// The secret that it gave has expired.
    #[error("what it gave has already come to its end\nhint: check its clock and this machine's")]
    Expired,
    /// A file that it needs cannot be read.
    #[error(transparent)]
    File(#[from] CredentialsError),
}

fn in_brackets(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}
