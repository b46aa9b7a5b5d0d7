//! The refusals of API Gateway: parsed, and explained to users who know nothing of signatures.
//!
//! Pure, except for the offset of the gateway's clock in [`GatewayClock`]. The gateway's messages
//! may change without notice, so its code decides; words of the message decide only where one code
//! stands for many errors (`APIG.0301`).
//!
//! Some refusals echo the canonical request as the gateway made it. `compare` compares it with
//! the one that was signed: a part that differs was changed on the way, and if none does, the
//! secret key is wrong.
//!
//! ```
//! use apig_proxy::gateway::{Context, GatewayError, Meaning};
//!
//! let body = br#"{"error_msg":"Backend timeout.","error_code":"APIG.0203","request_id":"7d"}"#;
//! let error = GatewayError::read(504, body).unwrap();
//! assert_eq!((error.code.as_str(), &error.meaning), ("APIG.0203", &Meaning::BackendTimeout));
//! let hint = error.hint(&Context::default()).unwrap();
//! assert!(hint.starts_with("the service behind the API did not answer in time"));
//! ```
//!
//! # What can go wrong
//!
//! A service behind the gateway can answer in the same shape, so a meaning is a reason to advise or
//! to slow down, and no proof that the gateway itself answered. An echo holds the values of signed
//! headers, `X-Security-Token` included: `Debug` and hints never show it.

mod clock_offset;
mod compare;
mod hint;
mod read;

use std::fmt;

use crate::config::AuthMode;
use crate::signature::SigningDate;

pub use clock_offset::{Evidence, GatewayClock, ahead_between};
pub(crate) use compare::{Difference, difference};

/// How far the date of a signature may be off for the gateway to accept it (API Request Signing
/// Guide), in seconds.
pub(crate) const DATE_WINDOW: i64 = 15 * 60;

/// An error that the gateway itself returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayError {
    /// Its code, like `APIG.0301`: at most 40 letters, digits, `.`, `_` and `-`.
    pub code: String,
    /// What it means.
    pub meaning: Meaning,
}

impl GatewayError {
    /// The maximum length of a body, in bytes: room for an echo of the longest head that the
    /// gateway takes. Anything longer is not one of its errors.
    pub const LONGEST_BODY: usize = 256 * 1024;
}

/// What a refusal means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of most variants say what they are")]
pub enum Meaning {
    /// The signature is not the one that the gateway computed.
    SignatureMismatch {
        /// The canonical request as the gateway made it, if it says so.
        echoed: Option<CanonicalText>,
    },
    /// The date of the signature is more than 15 minutes off, or a temporary key has expired.
    Expired {
        /// The date of the signature, as the gateway read it.
        signed: Option<SigningDate>,
        /// The gateway's own time. Without it, it may be the key that has expired.
        server: Option<SigningDate>,
    },
    /// The access key is locked for five minutes, after more than five failures in a row.
    KeyLocked,
    UnknownKey,
    InvalidToken,
    UnknownApp,
    /// The request is not authenticated, and the message does not say more.
    Unauthorized,
    Forbidden,
    /// The account is in arrears, frozen or restricted.
    Arrears,
    /// No API is published under this host, stage, path and method.
    ApiNotFound,
    MethodNotAllowed,
    Throttled,
    BodyTooLarge,
    TargetTooLong,
    HeadersTooLarge,
    BackendUnavailable,
    BackendTimeout,
    TlsVersion,
    /// The gateway wants a client certificate, or another one.
    ClientCertificate,
    /// The service that checks keys and tokens is down.
    IamUnavailable,
    Other,
}

impl Meaning {
    /// True if the gateway may count the refusal towards locking the key.
    ///
    /// It counts signatures that do not match, and [`Meaning::KeyLocked`] shows that it has. Its
    /// documentation does not mention expired signatures, so they count here: to stop too early
    /// costs a few refusals, to stop too late costs all users of the key five minutes.
    /// [`Meaning::UnknownKey`] does not count, because there is no key to lock.
    #[must_use]
    pub fn is_signature_failure(&self) -> bool {
        matches!(
            self,
            Self::SignatureMismatch { .. } | Self::Expired { .. } | Self::KeyLocked
        )
    }
}

/// A canonical request, ours or as the gateway made it: there `|` stands for a newline, and the end
/// may be cut off.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalText(pub String);

impl CanonicalText {
    /// True if the gateway has made the same canonical request, down to the last byte.
    #[must_use]
    pub fn is_echoed_as(&self, echoed: &Self) -> bool {
        self.0.replace('\n', "|") == echoed.0
    }
}

/// The values of signed headers are not for logs.
impl fmt::Debug for CanonicalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanonicalText([redacted], {} bytes)", self.0.len())
    }
}

/// What the proxy knows of the refused request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// How the request authenticates.
    pub auth: AuthMode,
    /// The canonical request that was signed.
    pub canonical_request: Option<&'a CanonicalText>,
    /// True for a temporary key, or a token that the proxy itself requests.
    pub is_temporary: bool,
    /// True if the path has several slashes in a row, or encoded ones.
    pub has_ambiguous_path: bool,
    /// True if the refusal has shown how the gateway reads them.
    pub has_learned_path: bool,
    /// Seconds by which the gateway's clock is ahead of this machine's; `None` if unknown.
    pub clock_offset: Option<i64>,
    /// True if requests are signed with the gateway's time (configuration key `clock.correct`).
    pub corrects_clock: bool,
    /// The stage that the request named, from configuration.
    pub stage: &'a str,
    /// The gateway's host, from configuration.
    pub host: &'a str,
}

#[cfg(test)]
mod tests;
