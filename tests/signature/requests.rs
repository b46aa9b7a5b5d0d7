//! Random requests.

use apig_proxy::signature::{
    CanonicalRequest, Payload, PayloadHash, ReceivedRequest, Refusal, SignatureError, Signer,
    SigningDate, Target, UNSIGNED_PAYLOAD, Verified, verify,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

pub(crate) const SECRET: &str = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc";
const ACCESS_KEY: &str = "QTWAOYTTINDUT2QVKYUC";

/// A request with everything that its signature covers.
#[derive(Clone, Debug)]
pub(crate) struct Signable {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
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
    pub(crate) fn target(&self) -> String {
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "{}{}{}",
            self.path,
            if pairs.is_empty() { "" } else { "?" },
            pairs.join("&")
        )
    }

    pub(crate) fn signed(&self) -> Result<Wire, SignatureError> {
        let date = SigningDate::from_unix_seconds(self.seconds)?;
        let hash = PayloadHash::new(&self.body);
        let payload = if self.unsigned {
            Payload::Declared(UNSIGNED_PAYLOAD)
        } else {
            Payload::Hash(&hash)
        };
        let target = self.target();
        let pairs: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let request = CanonicalRequest::new(
            &self.method,
            Target::parse(&target)?,
            &pairs,
            &date,
            payload,
        )?;
        let signature = Signer::new(ACCESS_KEY, &SECRET.into()).sign(&request);
        let mut headers = self.headers.clone();
        headers.push(("X-Sdk-Date".to_owned(), date.to_string()));
        if self.unsigned {
            headers.push((
                "x-sdk-content-sha256".to_owned(),
                UNSIGNED_PAYLOAD.to_owned(),
            ));
        }
        headers.push(("Authorization".to_owned(), signature));
        Ok(Wire {
            method: self.method.clone(),
            target,
            headers,
            body: self.body.clone(),
        })
    }
}

impl Wire {
    pub(crate) fn verified(&self, seconds: i64) -> Result<Verified, Refusal> {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
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
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes)
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    });
    let plain = "[A-Za-z0-9_~-]".prop_map(|text| text);
    let delimiter = (0..delimiters.len()).prop_map(move |at| delimiters[at..=at].to_owned());
    vec(prop_oneof![4 => plain, 1 => delimiter, 1 => escaped], 1..8)
        .prop_map(|parts| parts.concat())
}

/// Any request that can be signed.
pub(crate) fn signable() -> impl Strategy<Value = Signable> {
    let path = vec(part(":@!$'()*,;=+&"), 0..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let query = vec(
        (
            part(":@!$'()*,/?[]"),
            prop_oneof![Just(String::new()), part(":@!$'()*,/?[]=")],
        ),
        0..5,
    );
    let headers =
        vec(("x-[a-z0-9]{1,8}", "[!-~]([ -~]{0,10}[!-~])?"), 0..5).prop_map(|mut headers| {
            headers.sort();
            headers.dedup_by(|a, b| a.0 == b.0);
            headers.retain(|(name, _)| !name.starts_with("x-sdk"));
            headers.push(("Host".to_owned(), "gateway.example".to_owned()));
            headers
        });
    let method = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("PUT"),
        Just("DELETE"),
        Just("PATCH")
    ];
    let body = vec(any::<u8>(), 0..64);
    (
        method,
        path,
        query,
        headers,
        body,
        any::<bool>(),
        0..253_402_300_799_i64,
    )
        .prop_map(
            |(method, path, query, headers, body, unsigned, seconds)| Signable {
                method: method.to_owned(),
                path,
                query,
                headers,
                unsigned: unsigned && !body.is_empty(),
                body,
                seconds,
            },
        )
        .prop_filter("a part may decode to a dot segment", |request| {
            Target::parse(&request.target()).is_ok()
        })
}
