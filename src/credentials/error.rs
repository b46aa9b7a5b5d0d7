//! Errors about credentials. Their texts name files and variables, never what was read.

use std::path::PathBuf;

use super::types::Origin;
use crate::config::{FileError, Place, Problem};
use crate::escape::Escaped;
use crate::upstream::OneshotError;

/// The sources that were passed over, by name, and why.
pub(super) type PassedOver = Vec<(&'static str, String)>;

/// Why a credential is missing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages show what the fields are")]
pub enum CredentialsError {
    #[error(
        "there is no key\n  {}\n\
         hint: create an access key on the page My Credentials of the console and give its file with \
         `--credentials credentials.csv`, or set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK",
        reasons(.0, "\n  ")
    )]
    NothingFound(PassedOver),
    #[error(
        "no file is configured for this credential\nhint: set the key of the configuration that names the file"
    )]
    NoFile,
    /// A source does not exist. It is an error only if `credentials.source` names the source.
    #[error("{what}, but `credentials.source` names this source\nhint: {hint}")]
    Absent { what: String, hint: &'static str },
    /// A variable has a value that cannot be used.
    #[error("{name}: {expected}")]
    Variable {
        name: &'static str,
        expected: &'static str,
    },
    /// One of two variables is set.
    #[error("{present} is set, but {missing} is not\nhint: set both, or neither")]
    HalfInEnvironment {
        present: &'static str,
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("{} {source}", Escaped(.path.display()))]
    File { path: PathBuf, source: FileError },
    /// The request to a service failed.
    #[error(transparent)]
    Exchange(#[from] OneshotError),
    #[error("it answered with status {status}{}\nhint: {hint}", in_brackets(*.status, .code.as_deref()))]
    Refused {
        status: u16,
        code: Option<String>,
        hint: &'static str,
    },
    /// A service cannot be asked, or gives no usable credential.
    #[error("{0}")]
    Unusable(&'static str),
    /// The response of a service has an unexpected content.
    #[error("unexpected response ({0})\nhint: check the endpoint")]
    Garbage(&'static str),
    /// What was read is not a usable secret. The text is fixed, so that it cannot hold what was
    /// read.
    #[error("{origin} {problem}")]
    Invalid {
        origin: Origin,
        problem: &'static str,
    },
}

pub(super) const NO_AGENCY: CredentialsError = CredentialsError::Unusable(
    "this server has no agency\nhint: choose one for it in the console (ECS, Management Information, Agency)",
);

pub(super) const NO_KEY: CredentialsError = CredentialsError::Unusable(
    "there is no key to sign the request with\nhint: check `credentials.source`",
);

pub(super) const KEY_REFUSED: CredentialsError = CredentialsError::Unusable(
    "it has refused the access key several times, so the proxy asks it less often\nhint: set the secret key that belongs to the access key",
);

pub(super) const EXPIRED: CredentialsError = CredentialsError::Unusable(
    "the credential in its response has already expired\nhint: check its clock and the clock of this machine",
);

impl CredentialsError {
    pub(super) fn absent(what: impl Into<String>, hint: &'static str) -> Self {
        let what = what.into();
        Self::Absent { what, hint }
    }

    /// The error as a problem with the configuration of a set.
    pub fn into_problem(self, set: Option<&str>) -> Problem {
        let key = set.map(|name| format!("credentials.{name}"));
        Problem {
            place: Place::Nowhere,
            key: key.unwrap_or_else(|| "credentials".to_owned()),
            message: self.to_string(),
        }
    }
}

/// An error and its hint in a line of the log.
pub(super) fn on_one_line(error: &impl ToString) -> String {
    error.to_string().replace('\n', "; ")
}

pub(super) fn reasons(passed_over: &PassedOver, separator: &str) -> String {
    let reasons = passed_over.iter();
    let reasons = reasons.map(|(name, why)| format!("{name}: {why}"));
    reasons.collect::<Vec<_>>().join(separator)
}

/// The code of a service, unless it repeats the status.
fn in_brackets(status: u16, code: Option<&str>) -> String {
    let code = code.filter(|code| *code != status.to_string());
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}
