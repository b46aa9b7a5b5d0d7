//! One line of the report of `check upstream`.

use std::fmt;

use crate::error::Error;
use crate::escape::Escaped;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// Passed or unknown, with a remark.
    Note,
    Failed,
}

/// One line of the report.
#[derive(Debug)]
pub(super) struct Step {
    name: &'static str,
    pub(super) status: Status,
    text: String,
}

impl Step {
    /// A step with a remark.
    pub(super) fn new(name: &'static str, status: Status, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { name, status, text }
    }

    /// A step that failed with an error and its cause, `at` some place.
    pub(super) fn failed(name: &'static str, error: &Error, at: &str) -> Self {
        let text = error.to_string();
        let (text, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let cause = error.cause();
        let cause = if cause.is_empty() {
            cause
        } else {
            format!(" ({cause})")
        };
        let hint = if hint.is_empty() { "" } else { "; hint: " }.to_owned() + hint;
        Self::new(name, Status::Failed, format!("{text}{cause}{at}{hint}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Failed => "FAILED",
        };
        // Errors quote the peer.
        let text = Escaped(self.text.replace("\nhint: ", "; hint: "));
        write!(f, "  {:<8} {status:<7} {text}", self.name)
    }
}
