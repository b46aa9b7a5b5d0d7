//! STS exchanges the key of another source for a temporary key of an agency, which that key may
//! assume. The request is signed with the key.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use secrecy::ExposeSecret;
use serde_json::json;

use super::answer::post;
use super::oidc::sts;
use super::{Protocol, Service, ServiceError};
use crate::clock::signing_date;
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Credentials, Lease};
use crate::signature::{CanonicalRequest, Payload, PayloadHash, SignatureError, Signer, Target};
use crate::upstream::Network;

const PATH: &str = "/v5/agencies/assume";

/// The requested lifetime of keys in seconds.
const DURATION: u64 = 3600;

/// STS, for a key of this agency.
pub(in crate::credentials) fn find(
    agency: &str,
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    Ok(Service {
        name: "STS (agency)",
        protocol: Protocol::Agency(agency.to_owned()),
        endpoint: sts(config, environment)?,
        files: Vec::new(),
    })
}

pub(super) async fn ask(
    service: &Service,
    network: &Network,
    agency: &str,
    key: &Credentials,
) -> Result<Lease, ServiceError> {
    let mut request = post(
        PATH,
        json!({
            "agency_urn": agency,
            "agency_session_name": "apig-proxy",
            "duration_seconds": DURATION,
        }),
    );
    let signed = signed_headers(service, &request, key);
    let signed = signed.map_err(|_| ServiceError::Garbage("the endpoint cannot be signed for"))?;
    request.headers_mut().extend(signed);
    let answer = service.send(network, request).await?;
    let hint = "check `credentials.agency`, and that the key may assume this agency";
    answer.accepted(hint)?.key()
}

/// The headers that sign a request to a service.
fn signed_headers(
    service: &Service,
    request: &Request<Bytes>,
    key: &Credentials,
) -> Result<HeaderMap, SignatureError> {
    let url = &service.endpoint.url;
    let path = format!("{}{PATH}", url.base_path);
    let token = key.security_token.as_ref().map(ExposeSecret::expose_secret);
    let mut headers = vec![("host", url.authority.to_str().unwrap_or_default())];
    headers.extend(token.map(|token| ("x-security-token", token)));
    let (date, hash) = (signing_date(), PayloadHash::new(request.body()));
    let (target, payload) = (Target::parse(&path)?, Payload::Hash(&hash));
    let canonical = CanonicalRequest::new("POST", target, &headers, &date, payload)?;
    let authorization = Signer::new(&key.access_key, &key.secret_key).sign(&canonical);
    let sent = [
        ("x-sdk-date", Some(date.as_str())),
        ("x-security-token", token),
        ("authorization", Some(&authorization)),
    ];
    let sent = sent.into_iter().filter_map(|(name, value)| {
        let mut value = HeaderValue::from_str(value?).ok()?;
        value.set_sensitive(name != "x-sdk-date");
        Some((http::HeaderName::from_static(name), value))
    });
    Ok(sent.collect())
}
