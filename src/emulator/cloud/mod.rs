//! The cloud's identity services: what issues tokens and temporary keys.
//!
//! What they issue is valid at the gateway until it expires, so that a key that was replaced still
//! works for requests in flight. Each service can be put into a [`FaultMode`] while it runs.
//!
//! # What can go wrong
//!
//! The services accept what the SDKs send. The texts of their errors are the emulator's own, so a
//! caller should decide by the status.

mod issuing;
mod services;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::key_store::KeyStore;
use crate::clock;
use crate::lock::lock;
use issuing::{refused, response};
use services::Answered;

/// The path of pod identity. A cluster tells its pods the whole address.
pub const POD_IDENTITY_PATH: &str = "/v1/pod-identity/credentials";

const METADATA_TOKEN_PATH: &str = "/meta-data/latest/api/token";

/// The path of STS for callers that sign with a key.
const ASSUME_PATH: &str = "/v5/agencies/assume";

/// Longest body of a request to a service.
const MAX_BODY: usize = 1024 * 1024;

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
    /// Tokens of the metadata service's own, with their expiry.
    metadata_tokens: Mutex<HashMap<String, Timestamp>>,
    states: [ServiceState; 5],
}

#[derive(Debug, Default)]
struct ServiceState {
    fault: Mutex<FaultMode>,
    calls: AtomicU64,
}

struct Call {
    head: request::Parts,
    body: Bytes,
    fault: FaultMode,
}

type Handler = fn(&Cloud, &Call) -> Answered;

fn endpoint(method: &Method, path: &str) -> Option<(Service, Handler)> {
    Some(match (method.as_str(), path) {
        ("POST", "/v3/auth/tokens") => (Service::Iam, services::user_token),
        ("GET", "/v3/projects") => (Service::Iam, services::projects),
        ("POST", "/v3.0/OS-AUTH/id-token/tokens") => (Service::Idp, services::idp_token),
        ("POST", "/v3.0/OS-CREDENTIAL/securitytokens") => (Service::Idp, services::token_key),
        ("POST", "/v5/agencies/assume-with-oidc") => (Service::Sts, services::agency_key),
        ("POST", ASSUME_PATH) => (Service::Sts, services::agency_key),
        ("POST", POD_IDENTITY_PATH) => (Service::PodIdentity, services::pod_key),
        ("PUT", METADATA_TOKEN_PATH) => (Service::Metadata, services::metadata_token),
        ("GET", "/openstack/latest/securitykey") => (Service::Metadata, services::machine_key),
        _ => return None,
    })
}

impl Cloud {
    pub(super) fn new(store: Arc<Mutex<KeyStore>>) -> Self {
        Self {
            store,
            metadata_tokens: Mutex::default(),
            states: Default::default(),
        }
    }

    /// Sets the fault mode of a service.
    pub fn set_fault(&self, service: Service, fault: FaultMode) {
        *lock(&self.states[service as usize].fault) = fault;
    }

    /// Number of requests that a service has received, whatever it answered.
    pub fn calls(&self, service: Service) -> u64 {
        self.states[service as usize].calls.load(Ordering::Relaxed)
    }

    /// Revokes every token of `X-Auth-Token`, as a changed password does.
    pub fn expire_tokens(&self) {
        lock(&self.store).expire_tokens(clock::timestamp());
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
        let (head, body) = request.into_parts();
        Ok(match fault {
            FaultMode::Hangs => std::future::pending().await,
            FaultMode::Missing => missing(),
            FaultMode::Broken => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
            // As a captive portal answers everything.
            FaultMode::Garbage => response(StatusCode::OK, "text/html", "<html>welcome</html>"),
            FaultMode::Unauthorized if head.uri.path() != METADATA_TOKEN_PATH => {
                unauthorized(service)
            }
            FaultMode::Unauthorized | FaultMode::None | FaultMode::Expired => {
                let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
                    return Ok(refused(StatusCode::BAD_REQUEST, "the body is invalid"));
                };
                let body = body.to_bytes();
                let call = Call { head, body, fault };
                handler(self, &call).unwrap_or_else(|| unauthorized(service))
            }
        })
    }
}

/// The response to a path that no service has.
pub(super) fn missing() -> Response<Full<Bytes>> {
    refused(StatusCode::NOT_FOUND, "not found")
}

/// The response of a service to an identity that it does not know.
fn unauthorized(service: Service) -> Response<Full<Bytes>> {
    match service {
        // The real one has no agency then. Callers know it by this text, and do not ask again.
        Service::Metadata => {
            let text = "Please configure Cloud Service Agency first";
            response(StatusCode::UNAUTHORIZED, "text/plain", text)
        }
        _ => refused(StatusCode::UNAUTHORIZED, "the identity is not known"),
    }
}

impl Call {
    /// The body, or `null` if it is not JSON, so that every field counts as missing.
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

fn is_secret(secret: &SecretString, sent: Option<&str>) -> bool {
    sent == Some(secret.expose_secret())
}
