//! Signatures that Huawei's own SDKs computed, compared stage by stage.

use std::fs;
use std::path::Path;
use std::time::Duration;

use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHasher, ReceivedRequest, Signer, SigningDate,
    Target, verify,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// A case of a vector file.
#[derive(Deserialize)]
struct Case {
    id: String,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body_base64: String,
    access_key: String,
    secret_key: String,
    date: String,
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
    /// `SDK-HMAC-SHA256` if there is none.
    algorithm: Option<String>,
    #[serde(default)]
    region: String,
    #[serde(default)]
    service: String,
}

impl Case {
    fn algorithm(&self) -> Algorithm<'_> {
        let name = self.algorithm.as_deref().unwrap_or("SDK-HMAC-SHA256");
        Algorithm::from_name(name, &self.region, &self.service).unwrap()
    }
}

/// All cases of all files in the folder; a file without a case is an error.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().unwrap(), "jsonl", "{path:?}");
        let text = fs::read_to_string(&path).unwrap();
        let before = cases.len();
        let lines = text.lines();
        cases.extend(lines.map(|line| serde_json::from_str::<Case>(line).unwrap()));
        assert!(cases.len() > before, "{path:?} is empty");
    }
    cases
}

#[test]
fn every_vector_agrees_in_every_stage() {
    let cases = cases();
    for (name, number) in Algorithm::NAMES.into_iter().zip([300, 36, 36]) {
        let found = cases.iter().filter(|case| case.algorithm().name() == name);
        assert_eq!(found.count(), number, "{name}");
    }
    let failures = cases.iter().filter_map(|case| failure(case).err());
    assert_eq!(failures.collect::<Vec<String>>(), [""; 0]);
}

/// The first stage in which a case differs.
fn failure(case: &Case) -> Result<(), String> {
    let algorithm = case.algorithm();
    let (authority, wire) = split(&case.url);
    let mut host = authority.to_owned();
    let mut declared = None;
    let mut headers = Vec::new();
    for (name, value) in &case.headers {
        match name.to_ascii_lowercase().as_str() {
            "host" => host = value.clone(),
            "x-sdk-date" => assert_eq!(*value, case.date, "{}", case.id),
            name if name == algorithm.content_hash_header() => declared = Some(value.as_str()),
            _ => headers.push((name.as_str(), value.as_str())),
        }
    }
    headers.push(("host", &host));
    let mut hasher = PayloadHasher::new(algorithm);
    hasher.update(&BASE64_STANDARD.decode(&case.body_base64).unwrap());
    let hash = hasher.finish();
    let payload = declared.map_or(Payload::Hash(&hash), Payload::Declared);
    let date = SigningDate::parse(&case.date).unwrap();
    let target = Target::parse(&wire).map_err(|error| format!("{}: target: {error}", case.id))?;
    let method = &case.method;
    let request = CanonicalRequest::new(algorithm, method, target, &headers, &date, payload)
        .map_err(|error| format!("{}: {error}", case.id))?;
    let signer = Signer::new(&case.access_key, &case.secret_key.clone().into());
    let stages = [
        (request.to_string(), &case.canonical_request),
        (request.string_to_sign(), &case.string_to_sign),
        (signer.sign(&request), &case.authorization),
    ];
    if let Some((ours, theirs)) = stages.into_iter().find(|(ours, theirs)| ours != *theirs) {
        return Err(format!("{}: ours {ours:?}, theirs {theirs:?}", case.id));
    }
    // One of them signs an Authorization that it replaces.
    headers.retain(|header| !header.0.eq_ignore_ascii_case("authorization"));
    if case.authorization.contains(";authorization;")
        || case.authorization.contains("=authorization;")
    {
        return Ok(());
    }
    headers.push(("x-sdk-date", &case.date));
    headers.push(("authorization", &case.authorization));
    headers.extend(declared.map(|value| (algorithm.content_hash_header(), value)));
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (*name, value.trim().as_bytes()))
        .collect();
    let received = ReceivedRequest {
        method,
        target: &wire,
        headers: &headers,
        body: &hash,
    };
    let verified = verify(&received, |_| Some(signer), &date, Duration::ZERO);
    verified.map_err(|refusal| format!("{}: {refusal}", case.id))?;
    Ok(())
}

/// Authority, and the target that is sent: a path at least, and no fragment.
fn split(url: &str) -> (&str, String) {
    let rest = url.split_once("://").unwrap().1;
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let target = target.split('#').next().unwrap();
    let slash = if target.starts_with('/') { "" } else { "/" };
    (authority, format!("{slash}{target}"))
}
