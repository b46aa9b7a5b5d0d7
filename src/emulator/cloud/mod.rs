//! The cloud's identity services: what issues tokens and temporary keys.
//!
//! One file per service, each with the bodies of the real one. What they issue is known to the gateway
//! from then on and until it expires, so a key that was replaced is still good for requests on their way.
//!
//! Each service can be put into a [`Mood`] while it runs, to see what a caller does when it fails.
//!
//! # What can go wrong
//!
//! A caller that is answered well here has sent what the SDKs send. Errors of STS and pod identity are
//! not documented in full, so their texts are the emulator's own: go by the status.

mod answer;
mod iam;
mod idp;
mod issuing;
mod metadata;
mod mood;
mod pod_identity;
mod sts;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::accounts::Accounts;
use super::known::{Known, lock};
use super::time::Clock;
pub(super) use answer::missing;
use metadata::MetadataDoor;
use mood::States;
pub use mood::{Mood, Service};
pub use pod_identity::POD_IDENTITY_PATH;

/// Longest body of a request to a service.
const BODY: usize = 1024 * 1024;

/// The identity services of an emulator.
pub struct Cloud {
    known: Arc<Known>,
    clock: Clock,
    /// Whom the services know, and how long what they issue is good for.
    accounts: Mutex<Accounts>,
    metadata: MetadataDoor,
    states: States,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// At the gateway's address, where only the services of the public network are.
    Gateway,
    /// At the services' own.
    Services,
}

/// Something that a service offers.
pub(super) struct Endpoint {
    service: Service,
    method: Method,
    path: &'static str,
    well: fn(&Cloud, &Call) -> Response<Full<Bytes>>,
    /// What it answers when it knows nobody. What never asks who is there has no such answer.
    unauthorized: Option<fn() -> Response<Full<Bytes>>>,
}

/// A request to a service.
struct Call {
    headers: HeaderMap,
    query: String,
    body: Bytes,
    mood: Mood,
}

static ENDPOINTS: [&Endpoint; 7] = [
    &iam::TOKENS,
    &idp::TOKENS,
    &idp::SECURITY_TOKENS,
    &sts::ASSUME_WITH_OIDC,
    &metadata::TOKEN,
    &metadata::SECURITY_KEY,
    &pod_identity::CREDENTIALS,
];

impl Cloud {
    pub(super) fn new(accounts: Accounts, known: Arc<Known>, clock: Clock) -> Self {
        Self {
            known,
            clock,
            metadata: MetadataDoor::new(accounts.metadata_tokens),
            accounts: Mutex::new(accounts),
            states: States::default(),
        }
    }

    /// Lets a service behave like this from now on.
    pub fn set_mood(&self, service: Service, mood: Mood) {
        self.states.set_mood(service, mood);
    }

    /// How many requests a service has got, whatever it answered.
    #[must_use]
    pub fn calls(&self, service: Service) -> u64 {
        self.states.of(service).calls.load(Ordering::Relaxed)
    }

    /// How long keys are good for that are issued from now on.
    pub fn set_key_lifetime(&self, lifetime: Duration) {
        lock(&self.accounts).key_lifetime = lifetime;
    }

    /// How long tokens are good for that are issued from now on.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        lock(&self.accounts).token_lifetime = lifetime;
    }

    /// Lets every token of `X-Auth-Token` expire now, as a new password does.
    pub fn expire_tokens(&self) {
        self.known.expire_tokens(self.clock.now());
    }

    /// Lets the metadata service forget the tokens that it gave for itself, as a restart does.
    pub fn forget_metadata_tokens(&self) {
        self.metadata.forget();
    }

    /// Replaces the text of a pod's token file that is accepted.
    pub fn set_pod_token(&self, token: SecretString) {
        lock(&self.accounts).pod_token = Some(token);
    }

    /// Replaces the identity token that is accepted, if there is a federation.
    pub fn set_id_token(&self, token: SecretString) {
        if let Some(federation) = &mut lock(&self.accounts).federation {
            federation.id_token = token;
        }
    }

    /// Answers a request, in the mood that the service is in.
    pub(super) async fn answer(
        &self,
        endpoint: &Endpoint,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let mood = self.states.called(endpoint.service);
        match (mood, endpoint.unauthorized) {
            (Mood::Hangs, _) => std::future::pending().await,
            (Mood::Missing, _) => missing(),
            (Mood::Broken, _) => answer::broken(),
            (Mood::Garbage, _) => answer::garbage(),
            (Mood::Unauthorized, Some(unauthorized)) => unauthorized(),
            (Mood::Unauthorized, None) | (Mood::Well | Mood::Expired, _) => {
                let (parts, body) = request.into_parts();
                let Ok(body) = Limited::new(body, BODY).collect().await else {
                    return answer::unreadable();
                };
                let call = Call {
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: body.to_bytes(),
                    mood,
                };
                (endpoint.well)(self, &call)
            }
        }
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("states", &self.states)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// What answers a request that came in there, if a service does.
    pub(super) fn find(door: Door, method: &Method, path: &str) -> Option<&'static Self> {
        let is_open = |endpoint: &&Self| door == Door::Services || endpoint.service.is_public();
        let mut open = ENDPOINTS.into_iter().filter(is_open);
        open.find(|endpoint| endpoint.method == *method && endpoint.path == path)
    }
}

impl Call {
    /// The body, which is an empty object if it is not JSON: then all that is asked for is missing.
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A text in a body.
fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

/// Whether this is the secret.
fn is(secret: &SecretString, presented: Option<&str>) -> bool {
    presented == Some(secret.expose_secret())
}
