//! The cloud's identity services: what issues tokens and temporary keys.
//!
//! What they issue is valid at the gateway until it expires, so that a key that was replaced still
//! works for requests in flight. Each service can be put into a [`FaultMode`] while it runs.
//!
//! # What can go wrong
//!
//! A caller that is served here has sent what the SDKs send. Errors of STS and pod identity are not
//! documented in full, so their texts are the emulator's own: go by the status.

mod answer;
mod iam;
mod issuing;
mod machines;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::key_store::{KeyStore, lock};
use super::time::Clock;
pub(super) use answer::missing;
pub use machines::POD_IDENTITY_PATH;
use machines::{ASSUME_PATH, METADATA_TOKEN_PATH};

/// Longest body of a request to a service.
const BODY: usize = 1024 * 1024;

/// A service that issues tokens or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// IAM, for users with passwords, and for projects.
    Iam,
    /// IAM, for users of an identity provider.
    Idp,
    /// STS, for identity tokens (OIDC).
    Sts,
    /// The metadata service of a machine (ECS).
    Metadata,
    /// Pod identity of a cluster (CCE).
    PodIdentity,
}

/// The way in which a service fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultMode {
    /// It works.
    #[default]
    None,
    /// It knows no identity: 401. The metadata service then has no agency, but still gives tokens
    /// of its own.
    Unauthorized,
    /// It does not exist: 404.
    Missing,
    /// It fails: 500.
    Broken,
    /// It never answers.
    Hangs,
    /// It answers 200 with something that is not JSON.
    Garbage,
    /// What it issues has expired already.
    Expired,
}

/// The identity services of an emulator.
#[derive(Debug)]
pub struct Cloud {
    store: Arc<Mutex<KeyStore>>,
    clock: Clock,
    /// Tokens of the metadata service's own, with their expiry.
    metadata_tokens: Mutex<HashMap<String, Timestamp>>,
    states: [ServiceState; 5],
}

#[derive(Debug, Default)]
struct ServiceState {
    fault: Mutex<FaultMode>,
    calls: AtomicU64,
}

/// A request to a service.
struct Call {
    method: Method,
    target: String,
    headers: HeaderMap,
    query: String,
    body: Bytes,
    fault: FaultMode,
}

/// Answers a call; `None` if its identity is not known.
type Handler = fn(&Cloud, &Call) -> Option<Response<Full<Bytes>>>;

/// What the services offer.
fn endpoint(method: &Method, path: &str) -> Option<(Service, Handler)> {
    Some(match (method.as_str(), path) {
        ("POST", "/v3/auth/tokens") => (Service::Iam, iam::user_token),
        ("GET", "/v3/projects") => (Service::Iam, iam::projects),
        ("POST", "/v3.0/OS-AUTH/id-token/tokens") => (Service::Idp, iam::idp_token),
        ("POST", "/v3.0/OS-CREDENTIAL/securitytokens") => (Service::Idp, iam::key),
        ("POST", "/v5/agencies/assume-with-oidc") => (Service::Sts, machines::assume_agency),
        ("POST", ASSUME_PATH) => (Service::Sts, machines::assume_with_key),
        ("POST", POD_IDENTITY_PATH) => (Service::PodIdentity, machines::pod_key),
        ("PUT", METADATA_TOKEN_PATH) => (Service::Metadata, machines::metadata_token),
        ("GET", "/openstack/latest/securitykey") => (Service::Metadata, machines::server_key),
        _ => return None,
    })
}

impl Cloud {
    pub(super) fn new(store: Arc<Mutex<KeyStore>>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            metadata_tokens: Mutex::default(),
            states: Default::default(),
        }
    }

    /// Sets the fault mode of a service.
    pub fn set_fault(&self, service: Service, fault: FaultMode) {
        *lock(&self.states[service as usize].fault) = fault;
    }

    /// Number of requests that a service has received, whatever it answered.
    #[must_use]
    pub fn calls(&self, service: Service) -> u64 {
        self.states[service as usize].calls.load(Ordering::Relaxed)
    }

    /// Revokes every token of `X-Auth-Token`, as a changed password does.
    pub fn expire_tokens(&self) {
        lock(&self.store).expire_tokens(self.clock.now());
    }

    /// Answers a request; returns it if no service has its path. At the gateway's address there are
    /// only the services of the public network.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        is_public: bool,
    ) -> Result<Response<Full<Bytes>>, Request<Incoming>> {
        let is_open =
            |service| !is_public || !matches!(service, Service::Metadata | Service::PodIdentity);
        let endpoint = endpoint(request.method(), request.uri().path());
        let Some((service, handler)) = endpoint.filter(|(service, _)| is_open(*service)) else {
            return Err(request);
        };
        let state = &self.states[service as usize];
        state.calls.fetch_add(1, Ordering::Relaxed);
        let fault = *lock(&state.fault);
        let (parts, body) = request.into_parts();
        Ok(match fault {
            FaultMode::Hangs => std::future::pending().await,
            FaultMode::Missing => missing(),
            FaultMode::Broken => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                answer::refused(status, "500", "internal server error")
            }
            FaultMode::Garbage => answer::captive_portal(),
            FaultMode::Unauthorized if parts.uri.path() != METADATA_TOKEN_PATH => {
                answer::unauthorized(service)
            }
            FaultMode::Unauthorized | FaultMode::None | FaultMode::Expired => {
                let Ok(body) = Limited::new(body, BODY).collect().await else {
                    return Ok(answer::malformed());
                };
                let target = parts.uri.path_and_query();
                let call = Call {
                    method: parts.method,
                    target: target.map(ToString::to_string).unwrap_or_default(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: body.to_bytes(),
                    fault,
                };
                handler(self, &call).unwrap_or_else(|| answer::unauthorized(service))
            }
        })
    }
}

impl Call {
    /// The body, or `null` if it is not JSON, so that every field counts as missing.
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The value of a parameter of the query.
    fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A text in a body.
fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

/// True if this is the secret.
fn is(secret: &SecretString, sent: Option<&str>) -> bool {
    sent == Some(secret.expose_secret())
}
