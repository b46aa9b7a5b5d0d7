//! Random requests.

use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, ReceivedRequest, Refusal, SignatureError,
    Signer, SigningDate, Target, UNSIGNED_PAYLOAD, Verified, verify,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::time::Duration;

pub(crate) const SECRET: &str = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc";
const ACCESS_KEY: &str = "QTWAOYTTINDUT2QVKYUC";

/// A request with everything that its signature covers.
#[derive(Clone, Debug)]
pub(crate) struct Signable {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) unsigned: bool,
    pub(crate) seconds: i64,
}

/// A request as it is on the wire, with its signature.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Signable {
    pub(crate) fn signed(&self) -> Result<Wire, SignatureError> {
        let date = SigningDate::from_unix_seconds(self.seconds)?;
        let hash = PayloadHash::new(&self.body);
        let payload = if self.unsigned {
            Payload::Declared(UNSIGNED_PAYLOAD)
        } else {
            Payload::Hash(&hash)
        };
        let pairs = self.headers.iter();
        let pairs: Vec<_> = pairs.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let target = Target::parse(&self.target)?;
        let algorithm = Algorithm::HmacSha256;
        let request =
            CanonicalRequest::new(algorithm, &self.method, target, &pairs, &date, payload)?;
        let signature = Signer::new(ACCESS_KEY, &SECRET.into()).sign(&request);
        let mut headers = self.headers.clone();
        headers.push(("X-Sdk-Date".to_owned(), date.to_string()));
        if self.unsigned {
            let declared = ("x-sdk-content-sha256", UNSIGNED_PAYLOAD);
            headers.push((declared.0.to_owned(), declared.1.to_owned()));
        }
        headers.push(("Authorization".to_owned(), signature));
        Ok(Wire {
            method: self.method.clone(),
            target: self.target.clone(),
            headers,
            body: self.body.clone(),
        })
    }
}

impl Wire {
    pub(crate) fn verified(&self, seconds: i64) -> Result<Verified, Refusal> {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let body = PayloadHash::new(&self.body);
        let request = ReceivedRequest {
            method: &self.method,
            target: &self.target,
            headers: &headers,
            body: &body,
        };
        let signer = |id: &str| (id == ACCESS_KEY).then(|| Signer::new(id, &SECRET.into()));
        let now = SigningDate::from_unix_seconds(seconds).unwrap();
        verify(&request, signer, &now, Duration::from_secs(15 * 60))
    }
}

/// Text of a part of a target: unreserved characters, delimiters, and escapes of any valid text.
fn part(delimiters: &'static str) -> impl Strategy<Value = String> {
    let escaped = any::<char>().prop_map(|c| {
        let escapes = c.to_string().into_bytes().into_iter();
        escapes.map(|byte| format!("%{byte:02X}")).collect()
    });
    let delimiter = (0..delimiters.len()).prop_map(move |at| delimiters[at..=at].to_owned());
    vec(
        prop_oneof![4 => "[A-Za-z0-9_~-]", 1 => delimiter, 1 => escaped],
        1..8,
    )
    .prop_map(|parts| parts.concat())
}

/// Any request that can be signed.
pub(crate) fn signable() -> impl Strategy<Value = Signable> {
    let path = vec(part(":@!$'()*,;=+&"), 0..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let value = prop_oneof![Just(String::new()), part(":@!$'()*,/?[]=")];
    let pair = (part(":@!$'()*,/?[]"), value).prop_map(|(name, value)| format!("{name}={value}"));
    let headers = btree_map("x-[a-z0-9]{1,8}", "[!-~]([ -~]{0,10}[!-~])?", 0..5);
    let headers = headers.prop_map(|mut headers| {
        headers.retain(|name, _| !name.starts_with("x-sdk"));
        let host = ("Host".to_owned(), "gateway.example".to_owned());
        headers.into_iter().chain([host]).collect()
    });
    let parts = (
        "GET|POST|PUT|DELETE|PATCH",
        path,
        vec(pair, 0..5),
        headers,
        vec(any::<u8>(), 0..64),
        any::<bool>(),
        0..253_402_300_799_i64,
    );
    parts
        .prop_map(|(method, path, query, headers, body, unsigned, seconds)| {
            let mark = if query.is_empty() { "" } else { "?" };
            Signable {
                method,
                target: format!("{path}{mark}{}", query.join("&")),
                path,
                headers,
                unsigned: unsigned && !body.is_empty(),
                body,
                seconds,
            }
        })
        .prop_filter("a part may decode to a dot segment", |request| {
            Target::parse(&request.target).is_ok()
        })
}
