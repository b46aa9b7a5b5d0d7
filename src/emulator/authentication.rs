//! What a request brings to prove who sends it.
//!
//! Told apart before anything is checked, because the size of a body that is read depends on it, and
//! because a request that brings two proofs is refused even if both are good: which of them the real
//! gateway would take depends on how its API was published, which an emulator cannot know.

use http::HeaderMap;

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication<'a> {
    /// A signature, or nothing: then the verifier says what is missing.
    Signature,
    /// `X-Auth-Token`.
    Token(&'a [u8]),
    /// `X-Apig-AppCode`.
    AppCode(&'a [u8]),
    /// `Authorization: Bearer …`.
    ApiKey(&'a [u8]),
    /// More than one of them.
    Several,
}

/// How a request that was accepted proved who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Aksk,
    App,
    Token,
    AppCode,
    ApiKey,
}

impl<'a> Authentication<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let authorization = headers.get_all("authorization").iter().map(|value| {
            let value = value.as_bytes();
            bearer(value).map_or(Self::Signature, Self::ApiKey)
        });
        let with = |name: &'static str, of: fn(&'a [u8]) -> Self| {
            let values = headers.get_all(name).iter();
            values.map(move |value| of(value.as_bytes()))
        };
        let mut all = authorization
            .chain(with("x-auth-token", Self::Token))
            .chain(with("x-apig-appcode", Self::AppCode));
        match (all.next(), all.next()) {
            (None, _) => Self::Signature,
            (Some(only), None) => only,
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

impl Mode {
    /// The word for it in an answer.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Aksk => "aksk",
            Self::App => "app",
            Self::Token => "token",
            Self::AppCode => "app-code",
            Self::ApiKey => "api-key",
        }
    }
}

/// The key of `Bearer …`, whose first word has no case (RFC 9110 §11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = authorization.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| key.trim_ascii())
}
