//! Verifies a signed request, as the gateway does with ours, and a backend with the gateway's.
//!
//! It works from the bytes that were received, never from those that were meant to be sent. The
//! steps are those of Huawei's sample for backend signatures, with its gaps closed: the date must
//! be signed, a repeated header is refused, and signatures are compared in constant time.

use std::time::Duration;

use super::{
    Algorithm, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, SignatureError, Signer,
    SigningDate, Target,
};

/// A received request.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// All headers, as received.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The hash of the received body, by the algorithm of the signature.
    pub body: &'a PayloadHash,
}

/// A request whose signature is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The access key id that signed.
    pub access_key: String,
    /// Names of the signed headers, in the order of `SignedHeaders`.
    pub signed_headers: Vec<String>,
    /// True if the signature covers the body.
    pub body_signed: bool,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no `Authorization`, or more than one.
    #[error(
        "the request has no authorization header, or more than one\nhint: send it once, as `apig-proxy sign` prints it"
    )]
    Authorization,
    /// `Authorization` is not of the form of an [`Algorithm`].
    #[error(
        "authorization is not of the form `SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=…`, or that of another algorithm\nhint: correct it, or sign again"
    )]
    Malformed,
    /// The older form with `Credential=` and a scope, which API Gateway does not take.
    #[error("authorization has the older form with `Credential=`\nhint: sign with `Access=`")]
    LegacyForm,
    /// The access key id is not known.
    #[error("the access key is not known")]
    UnknownKey {
        /// The access key id of the request.
        access_key: String,
    },
    /// A header of `SignedHeaders` is not there.
    #[error("a signed header is missing: {0}\nhint: send it as it was signed, or sign without it")]
    MissingHeader(String),
    /// A signed header is there more than once.
    #[error("a signed header is repeated: {0}\nhint: send it once, or sign without it")]
    RepeatedHeader(String),
    /// `X-Sdk-Date` is not among the signed headers.
    #[error("x-sdk-date is not signed\nhint: name it in `SignedHeaders`, and sign it")]
    DateNotSigned,
    /// The date is too far from the verifier's time.
    #[error("the signature has expired: it was made at {signed}, and it is {now}")]
    Expired {
        /// The date of the signature.
        signed: SigningDate,
        /// The time of the verifier.
        now: SigningDate,
    },
    /// The request cannot be brought into canonical form.
    #[error(transparent)]
    NotCanonical(#[from] SignatureError),
    /// The signature is another one.
    #[error("the signature does not match")]
    Mismatch {
        /// The canonical request that the verifier made.
        canonical: String,
    },
}

/// The parsed value of `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented<'a> {
    /// The algorithm.
    pub algorithm: Algorithm<'a>,
    /// The access key id.
    pub access_key: &'a str,
    /// The day that the key is derived for, like `20261123`; empty if it is not derived.
    pub day: &'a str,
    /// The names of the signed headers, joined by `;`.
    pub signed_headers: &'a str,
    /// The signature, in hexadecimal.
    pub signature: &'a str,
}

impl<'a> Presented<'a> {
    /// Reads a value of `Authorization`.
    ///
    /// # Errors
    ///
    /// [`Refusal::LegacyForm`] or [`Refusal::Malformed`].
    pub fn parse(authorization: &'a str) -> Result<Self, Refusal> {
        let split = authorization.split_once([' ', '\t']);
        let (name, parameters) = split.ok_or(Refusal::Malformed)?;
        let parameters = parameters.trim_start_matches([' ', '\t']);
        let algorithm = Algorithm::from_name(name, "", "").ok_or(Refusal::Malformed)?;
        let is_derived = matches!(algorithm, Algorithm::V11HmacSha256 { .. });
        if parameters.starts_with("Credential=") && !is_derived {
            return Err(Refusal::LegacyForm);
        }
        Self::from_parameters(algorithm, parameters).ok_or(Refusal::Malformed)
    }

    fn from_parameters(algorithm: Algorithm<'a>, parameters: &'a str) -> Option<Self> {
        let mut parameters = parameters.splitn(3, ',');
        let mut value = |name: &str| {
            let parameter = parameters.next()?;
            // At most one blank after a comma, as in the gateway's own grammar.
            let parameter = parameter.strip_prefix(' ').unwrap_or(parameter);
            let value = parameter.strip_prefix(name)?.strip_prefix('=')?;
            (!value.is_empty()).then_some(value)
        };
        let (algorithm, access_key, day) = match algorithm {
            Algorithm::HmacSha256 | Algorithm::HmacSm3 => (algorithm, value("Access")?, ""),
            Algorithm::V11HmacSha256 { .. } => {
                let mut scope = value("Credential")?.splitn(4, '/');
                let (access_key, day) = (scope.next()?, scope.next()?);
                let (region, service) = (scope.next()?, scope.next()?);
                let algorithm = Algorithm::V11HmacSha256 { region, service };
                (algorithm, access_key, day)
            }
        };
        Some(Self {
            algorithm,
            access_key,
            day,
            signed_headers: value("SignedHeaders")?,
            signature: value("Signature")?,
        })
    }
}

/// Checks the signature of a request.
///
/// `signer` finds the key of an access key id, `now` is the verifier's time, and `window` how far
/// the date may be from it (the gateway allows 15 minutes).
///
/// # Errors
///
/// A [`Refusal`]: the first thing that is wrong.
pub fn verify<S: std::borrow::Borrow<Signer>>(
    request: &ReceivedRequest<'_>,
    signer: impl FnOnce(&str) -> Option<S>,
    now: &SigningDate,
    window: Duration,
) -> Result<Verified, Refusal> {
    let authorization = request.only("authorization");
    let presented = Presented::parse(authorization.map_err(|_| Refusal::Authorization)?)?;
    let access_key = presented.access_key;
    let signer = signer(access_key).ok_or_else(|| Refusal::UnknownKey {
        access_key: access_key.to_owned(),
    })?;

    let headers = request.signed_headers(presented.signed_headers)?;
    let date = request.date(&presented, now, window)?;
    let algorithm = presented.algorithm;
    let payload = request.payload(algorithm)?;
    let target = Target::received(request.target)?;
    let method = request.method;
    let canonical = CanonicalRequest::received(algorithm, method, target, headers, date, payload)?;
    if !signer.borrow().matches(&canonical, presented.signature) {
        return Err(Refusal::Mismatch {
            canonical: canonical.to_string(),
        });
    }
    let names = presented.signed_headers.split(';');
    Ok(Verified {
        access_key: access_key.to_owned(),
        signed_headers: names.map(str::to_owned).collect(),
        // A declared payload covers the body only if it is the body's hash.
        body_signed: match payload {
            Payload::Hash(_) => true,
            Payload::Declared(value) => value.eq_ignore_ascii_case(request.body.as_str()),
        },
    })
}

impl<'a> ReceivedRequest<'a> {
    /// The headers that are signed; the date must be among them.
    fn signed_headers(&self, names: &'a str) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
        let names = names.split(';');
        let is_date = |name: &str| name.eq_ignore_ascii_case(DATE_HEADER);
        if !names.clone().any(is_date) {
            return Err(Refusal::DateNotSigned);
        }
        names.map(|name| Ok((name, self.only(name)?))).collect()
    }

    /// The date of the signature, which must be close to `now` and on the day of the key.
    fn date(
        &self,
        presented: &Presented<'_>,
        now: &SigningDate,
        window: Duration,
    ) -> Result<SigningDate, Refusal> {
        let signed = SigningDate::parse(self.only(DATE_HEADER)?)?;
        if signed.unix_seconds().abs_diff(now.unix_seconds()) > window.as_secs() {
            return Err(Refusal::Expired { signed, now: *now });
        }
        match presented.algorithm {
            Algorithm::V11HmacSha256 { .. } if presented.day != &signed.as_str()[..8] => {
                Err(Refusal::Malformed)
            }
            _ => Ok(signed),
        }
    }

    /// What stands for the body.
    fn payload(&self, algorithm: Algorithm<'_>) -> Result<Payload<'a>, Refusal> {
        match self.only(algorithm.content_hash_header()) {
            Ok(value) if !value.is_empty() => Ok(Payload::Declared(value)),
            Ok(_) | Err(Refusal::MissingHeader(_)) => Ok(Payload::Hash(self.body)),
            Err(refusal) => Err(refusal),
        }
    }

    /// The value of a header that must be there once.
    fn only(&self, name: &str) -> Result<&'a str, Refusal> {
        let is_named = |header: &&(&str, &[u8])| header.0.eq_ignore_ascii_case(name);
        let mut values = self.headers.iter().filter(is_named);
        let Some((_, value)) = values.next() else {
            return Err(Refusal::MissingHeader(name.to_owned()));
        };
        if values.next().is_some() {
            return Err(Refusal::RepeatedHeader(name.to_owned()));
        }
        Ok(str::from_utf8(value).map_err(|_| SignatureError::HeaderValue)?)
    }
}

#[cfg(test)]
mod tests;
