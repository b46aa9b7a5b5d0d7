//! Keys for machines: the metadata service of a server, pod identity of a cluster, and STS.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;

use super::answer::{json as respond, plain, refused};
use super::{Call, Cloud, is, text};
use crate::emulator::accounts::random_text;
use crate::emulator::key_store::{KeyStore, lock};
use crate::signature::{PayloadHash, ReceivedRequest, SigningDate, verify};

/// The path of pod identity. A cluster tells its pods the whole address.
pub const POD_IDENTITY_PATH: &str = "/v1/pod-identity/credentials";

/// The path of the metadata service's own tokens, which it gives to every caller.
pub(super) const METADATA_TOKEN_PATH: &str = "/meta-data/latest/api/token";

/// The path of STS for callers that sign with a key.
pub(super) const ASSUME_PATH: &str = "/v5/agencies/assume";

/// The greatest distance of a date from the clock.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The allowed lifetimes of a metadata token in seconds.
const LIFETIMES: std::ops::RangeInclusive<u64> = 1..=21_600;

pub(super) fn metadata_token(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let lifetime = call
        .header("x-metadata-token-ttl-seconds")
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| LIFETIMES.contains(seconds));
    let Some(lifetime) = lifetime.map(Duration::from_secs) else {
        let message = "X-Metadata-Token-Ttl-Seconds is missing or not from 1 to 21600";
        return Some(plain(StatusCode::BAD_REQUEST, message));
    };
    let expires_at = cloud.clock.now().checked_add(lifetime);
    let token = random_text(64);
    let token = token.expose_secret();
    let expires_at = expires_at.unwrap_or(Timestamp::MAX);
    lock(&cloud.metadata_tokens).insert(token.to_owned(), expires_at);
    Some(plain(StatusCode::OK, token))
}

pub(super) fn server_key(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let token = call.header("x-metadata-token");
    let expires_at = token.and_then(|token| lock(&cloud.metadata_tokens).get(token).copied());
    let is_valid = expires_at.is_some_and(|expires_at| expires_at > cloud.clock.now());
    if !is_valid {
        return Some(plain(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let key = cloud.issue_key(call.fault, None);
    Some(respond(StatusCode::OK, &key.credential()))
}

pub(super) fn pod_key(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let token = lock(&cloud.store).accounts.pod_token.clone()?;
    is(&token, call.header("authorization")).then_some(())?;
    let key = cloud.issue_key(call.fault, None);
    Some(respond(StatusCode::OK, &key.credentials()))
}

/// An identity token becomes a temporary key of an agency.
pub(super) fn assume_agency(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let body = call.json();
    let field = |name: &str| text(&body, &format!("/{name}")).filter(|text| !text.is_empty());
    for name in [
        "provider_urn",
        "agency_urn",
        "agency_session_name",
        "id_token",
    ] {
        if field(name).is_none() {
            let message = format!("'{name}' is missing");
            return Some(refused(StatusCode::BAD_REQUEST, "STS5.400", &message));
        }
    }
    let federation = lock(&cloud.store).accounts.federation.clone()?;
    let is_trusted = field("provider_urn") == Some(&federation.provider_urn)
        && field("agency_urn") == Some(&federation.agency_urn)
        && is(&federation.id_token, field("id_token"));
    is_trusted.then_some(())?;
    let asked = body["duration_seconds"].as_u64().map(Duration::from_secs);
    let mut answer = cloud.issue_key(call.fault, asked).credentials();
    let session = field("agency_session_name");
    answer["assumed_agency"] = json!({ "urn": federation.agency_urn, "id": session });
    Some(respond(StatusCode::OK, &answer))
}

/// A signed request becomes a temporary key of an agency.
pub(super) fn assume_with_key(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let body = call.json();
    for name in ["agency_urn", "agency_session_name"] {
        if text(&body, &format!("/{name}")).is_none_or(str::is_empty) {
            let message = format!("'{name}' is missing");
            return Some(refused(StatusCode::BAD_REQUEST, "STS5.400", &message));
        }
    }
    let is_agency = {
        let store = lock(&cloud.store);
        is_signed(&store, cloud, call).then_some(())?;
        let agency = store
            .accounts
            .federation
            .as_ref()
            .map(|known| &known.agency_urn);
        text(&body, "/agency_urn") == agency.map(String::as_str)
    };
    if !is_agency {
        let message = "the key may not assume this agency";
        return Some(refused(StatusCode::FORBIDDEN, "STS5.403", message));
    }
    let asked = body["duration_seconds"].as_u64().map(Duration::from_secs);
    let answer = cloud.issue_key(call.fault, asked).credentials();
    Some(respond(StatusCode::OK, &answer))
}

/// True if a key of the accounts signed the call.
pub(super) fn is_signed(store: &KeyStore, cloud: &Cloud, call: &Call) -> bool {
    let headers = call.headers.iter();
    let headers: Vec<(&str, &[u8])> = headers
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = ReceivedRequest {
        method: call.method.as_str(),
        target: &call.target,
        headers: &headers,
        body: &PayloadHash::new(&call.body),
    };
    let token = call.header("x-security-token").map(str::as_bytes);
    let date = SigningDate::from_unix_seconds(cloud.clock.now().as_second());
    date.is_ok_and(|date| verify(&request, |key| store.signer(key, token), &date, WINDOW).is_ok())
}
