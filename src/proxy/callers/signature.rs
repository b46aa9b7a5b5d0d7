//! The signature of a caller: it proves who signed, and is dropped then.
//!
//! The head is verified before any of the body is read. If the signature covers the body too, the
//! body is held until its hash is known.

use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue, request};

use crate::clock;
use crate::error::Error;
use crate::proxy::body::PreparedBody;
use crate::signature::{
    Algorithm, PayloadHash, Presented, ReceivedRequest, Refusal, Signer, UNSIGNED_PAYLOAD, verify,
};
use crate::signing_mistakes::search;

/// How far the date of a signature may be from the time of this machine, as at the gateway.
const WINDOW: Duration = Duration::from_secs(15 * 60);

const UNSIGNED: &[u8] = UNSIGNED_PAYLOAD.as_bytes();

/// A request that a caller has signed, without its body.
#[derive(Clone, Copy)]
pub(super) struct SignedHead<'a> {
    pub(super) head: &'a request::Parts,
    pub(super) authorization: &'a HeaderValue,
    /// The key of the caller that it names.
    pub(super) signer: &'a Signer,
}

impl SignedHead<'_> {
    /// Verifies the signature as far as the head allows. Returns whether that proves who signed, and
    /// whether the body has to be verified. `is_empty` means that there is no body.
    pub(super) fn verify(&self, is_empty: bool) -> Result<(bool, bool), Refusal> {
        let algorithm = Algorithm::of_authorization(self.authorization.as_bytes());
        let declared = self.head.headers.get(algorithm.content_hash_header());
        let declared = declared.map_or(&b""[..], HeaderValue::as_bytes);
        let needs_hash = declared.is_empty() && !is_empty;
        match self.verify_with(&PayloadHash::empty(algorithm)) {
            Err(Refusal::Mismatch { .. }) if needs_hash => Ok((false, true)),
            Ok(_) => Ok((
                !needs_hash,
                needs_hash || !matches!(declared, b"" | UNSIGNED),
            )),
            Err(refusal) => Err(refusal),
        }
    }

    /// Verifies the signature of a request with this hash of the body. Returns true if it covers the
    /// body.
    pub(super) fn verify_with(&self, body: &PayloadHash) -> Result<bool, Refusal> {
        let now = clock::signing_date();
        let verified = self.with_request(body, |request| {
            verify(request, |_| Some(self.signer), &now, WINDOW)
        });
        verified.map(|verified| verified.body_signed)
    }

    /// Passes the request on as it was received.
    fn with_request<T>(
        &self,
        body: &PayloadHash,
        use_it: impl FnOnce(&ReceivedRequest<'_>) -> T,
    ) -> T {
        let head = self.head;
        let mut headers = Vec::with_capacity(head.headers.len() + 2);
        for (name, value) in &head.headers {
            headers.push((name.as_str(), value.as_bytes()));
        }
        headers.push(("authorization", self.authorization.as_bytes()));
        // Over HTTP/2 it is a part of the target.
        let is_missing = !head.headers.contains_key(HOST);
        if let Some(authority) = head.uri.authority().filter(|_| is_missing) {
            headers.push(("host", authority.as_str().as_bytes()));
        }
        let target = head.uri.path_and_query();
        use_it(&ReceivedRequest {
            method: head.method.as_str(),
            target: target.map_or("/", |target| target.as_str()),
            headers: &headers,
            body,
        })
    }

    /// The answer to a wrong signature: the mistake of the signer if it is a known one. Looking for it
    /// in a long body would take too long.
    pub(super) fn refused(&self, refusal: Refusal, body: &PreparedBody) -> Error {
        let Refusal::Mismatch { canonical } = &refusal else {
            return refused(refusal);
        };
        let found = self.with_request(&PayloadHash::EMPTY, |request| {
            search(request, &body.if_short(), canonical, self.signer)
        });
        match found {
            Some(found) => Error::CallerSignature(format!("{}\nhint: {}", found.text, found.hint)),
            None => refused(refusal),
        }
    }
}

/// The hash of a body by the algorithm of a signature, if the body was held. `known` is its hash by
/// another algorithm, which may be the same.
pub(super) fn hash(
    authorization: &HeaderValue,
    body: &PreparedBody,
    known: Option<(PayloadHash, Algorithm<'_>)>,
) -> Option<PayloadHash> {
    let algorithm = Algorithm::of_authorization(authorization.as_bytes());
    let is_same = |other: Algorithm<'_>| {
        other.content_hash_header() == algorithm.content_hash_header() && body.is_repeatable()
    };
    match known {
        Some((hash, other)) if is_same(other) => Some(hash),
        _ => body.hash(algorithm),
    }
}

/// The access key id of a signature.
pub(super) fn access_key(authorization: &HeaderValue) -> Result<&str, Refusal> {
    let text = authorization.to_str().map_err(|_| Refusal::Malformed)?;
    Ok(Presented::parse(text)?.access_key)
}

/// The answer to a wrong signature: what is wrong, without a value of the caller's.
pub(super) fn refused(refusal: Refusal) -> Error {
    const KEY: &str = "\nhint: sign with the secret key of this access key, after all other changes to the request";
    let is_name = |name: &str| name.len() <= 40 && HeaderName::try_from(name).is_ok();
    let refusal = match refusal {
        Refusal::MissingHeader(name) | Refusal::RepeatedHeader(name) if !is_name(&name) => {
            Refusal::Malformed
        }
        refusal => refusal,
    };
    let hint = match &refusal {
        Refusal::Mismatch { .. } => KEY,
        Refusal::UnknownKey { .. } => {
            "\nhint: it may have been revoked; `apig-proxy caller list` shows those that are known"
        }
        Refusal::Expired { .. } => "\nhint: set the clock, and sign each request when it is sent",
        _ => "",
    };
    Error::CallerSignature(format!("{refusal}{hint}"))
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::*;
    use crate::signature::{Algorithm, CanonicalRequest, DATE_HEADER, Payload, Target};

    #[test]
    fn over_http2_the_authority_of_the_target_is_the_signed_host() {
        let signer = Signer::new("APX", &"SK".into());
        let date = clock::signing_date();
        let payload = Payload::Hash(&PayloadHash::EMPTY);
        let target = Target::parse("/v1?a").unwrap();
        let headers = [("host", "localhost:8080")];
        let algorithm = Algorithm::HmacSha256;
        let canonical =
            CanonicalRequest::new(algorithm, "GET", target, &headers, &date, payload).unwrap();
        let authorization = HeaderValue::from_str(&signer.sign(&canonical)).unwrap();
        for (authority, is_right) in [("localhost:8080", true), ("localhost", false)] {
            let request = Request::get(format!("http://{authority}/v1?a"))
                .version(Version::HTTP_2)
                .header(DATE_HEADER, date.as_str());
            let (head, ()) = request.body(()).unwrap().into_parts();
            let signed = SignedHead {
                head: &head,
                authorization: &authorization,
                signer: &signer,
            };
            assert_eq!(signed.verify(true).is_ok(), is_right, "{authority}");
        }
        let refused = refused(Refusal::MissingHeader("x\u{1b}[2J".to_owned()));
        assert!(!refused.to_string().contains("[2J"));
    }
}
