//! The signatures of Huawei Cloud API Gateway: `SDK-HMAC-SHA256` and its variants.
//!
//! Pure: no I/O, no clock, no runtime, and nothing from the rest of the program. Time and payload
//! hash are arguments, so every stage can be compared with the vectors of Huawei's own SDKs. The
//! algorithm is that of the *API Request Signing Guide* ("Signing Algorithm").
//!
//! Signing and applying are two steps: [`Signer::sign`] returns the value of `Authorization` and
//! leaves the request unchanged.
//!
//! ```
//! use apig_proxy::signature::{
//!     Algorithm, CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target,
//! };
//!
//! // The worked example of the API Request Signing Guide.
//! let target = Target::parse(
//!     "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
//! )?;
//! let headers = [("host", "service.region.example.com"), ("content-type", "application/json")];
//! let date = SigningDate::parse("20191115T033655Z")?;
//! let payload = Payload::Hash(&PayloadHash::EMPTY);
//! let request =
//!     CanonicalRequest::new(Algorithm::HmacSha256, "GET", target, &headers, &date, payload)?;
//! assert_eq!(
//!     request.hash(),
//!     "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
//! );
//!
//! let signer = Signer::new(
//!     "QTWAOYTTINDUT2QVKYUC",
//!     &"MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc".into(),
//! );
//! assert_eq!(
//!     signer.sign(&request),
//!     "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, \
//!      Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
//! );
//! # Ok::<(), apig_proxy::signature::SignatureError>(())
//! ```
//!
//! # What can go wrong
//!
//! SDKs and gateways read some bytes of a target differently (`+`, `;`, a lone `%`, raw UTF-8, an
//! empty name). [`normalize_path`] and [`normalize_query`] encode what can be written unambiguously,
//! and [`Target::parse`] refuses the rest. A target that skips them can get a signature that the
//! gateway cannot reproduce.

mod algorithm;
mod canonical;
mod date;
mod encoding;
mod payload;
mod signer;
mod target;
mod verify;

pub use algorithm::Algorithm;
pub use canonical::{CanonicalRequest, string_to_sign};
pub use date::SigningDate;
pub use payload::{Payload, PayloadHash, PayloadHasher, UNSIGNED_PAYLOAD};
pub use signer::Signer;
pub(crate) use target::is_dot_segment;
pub use target::{Target, normalize_path, normalize_query, normalize_target, normalized_path};
pub use verify::{Presented, ReceivedRequest, Refusal, Verified, verify};

/// Header that carries the date of the signature; always signed.
pub const DATE_HEADER: &str = "x-sdk-date";

/// Header whose value takes the place of the payload hash; signed when present.
pub const CONTENT_HASH_HEADER: &str = "x-sdk-content-sha256";

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The target does not start with a slash.
    #[error("the path does not start with `/`\nhint: send a path like `/v1/infers/…`")]
    NotAPath,
    /// The target has a byte that is not visible ASCII.
    #[error(
        "the target has a byte that must be percent-encoded\nhint: encode it, like a blank as `%20`"
    )]
    RawByte,
    /// The target has a fragment.
    #[error("the target has a fragment\nhint: leave out `#` and what follows, or send it as `%23`")]
    Fragment,
    /// A percent sign is not followed by two hexadecimal digits.
    #[error(
        "the target has a `%` without two hexadecimal digits\nhint: send a literal one as `%25`"
    )]
    BrokenEscape,
    /// A segment of the path is `.` or `..`, plain or encoded.
    #[error("the path has a `.` or `..` segment\nhint: resolve it before sending")]
    DotSegment,
    /// A query pair has a value but no name, which some decoders drop.
    #[error("the query has a pair with an empty name\nhint: name it, or leave it out")]
    EmptyName,
    /// The method is not a token of capital letters.
    #[error("the method is not one word in capital letters")]
    Method,
    /// The date is not of the form `YYYYMMDDTHHMMSSZ`.
    #[error("the date is not of the form YYYYMMDDTHHMMSSZ in UTC, like \"20261123T080000Z\"")]
    Date,
    /// A header name is not one that can be signed.
    #[error("a header name cannot be signed\nhint: use letters, digits and `-` only")]
    HeaderName,
    /// A header value is not visible ASCII, so signers and gateways disagree on its bytes.
    #[error("a header to sign has a value that is not visible ASCII\nhint: leave it unsigned")]
    HeaderValue,
    /// A header was given twice, or is one that the signer itself adds.
    #[error("a header to sign is given twice, or is one that the signer adds by itself")]
    DuplicateHeader,
}
