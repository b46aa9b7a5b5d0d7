//! The metadata service of a machine: keys of its agency, for whoever is on it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{Call, Cloud, Endpoint, Service, answer};
use crate::emulator::accounts::MetadataTokens;
use crate::emulator::drawing;
use crate::emulator::known::lock;

/// How long a token of the service's own may be asked for, in seconds.
const LIFETIMES: std::ops::RangeInclusive<u64> = 1..=21_600;

pub(super) static TOKEN: Endpoint = Endpoint {
    service: Service::Metadata,
    method: Method::PUT,
    path: "/meta-data/latest/api/token",
    well: give_token,
    unauthorized: None,
};

pub(super) static SECURITY_KEY: Endpoint = Endpoint {
    service: Service::Metadata,
    method: Method::GET,
    path: "/openstack/latest/securitykey",
    well: give_key,
    unauthorized: Some(no_agency),
};

/// Who is let in to the service: callers with a token of its own, or everybody.
#[derive(Debug)]
pub(super) struct MetadataDoor {
    wanted: MetadataTokens,
    tokens: Mutex<HashMap<String, Timestamp>>,
}

impl MetadataDoor {
    pub(super) fn new(wanted: MetadataTokens) -> Self {
        Self {
            wanted,
            tokens: Mutex::default(),
        }
    }

    pub(super) fn forget(&self) {
        lock(&self.tokens).clear();
    }

    fn lets_in(&self, token: Option<&str>, now: Timestamp) -> bool {
        let is_good = |token: &str| {
            let tokens = lock(&self.tokens);
            tokens
                .get(token)
                .is_some_and(|expires_at| *expires_at > now)
        };
        self.wanted == MetadataTokens::Off || token.is_some_and(is_good)
    }
}

fn give_token(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    if cloud.metadata.wanted == MetadataTokens::Off {
        return answer::missing();
    }
    let lifetime = call
        .header("x-metadata-token-ttl-seconds")
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| LIFETIMES.contains(seconds));
    let Some(lifetime) = lifetime.map(Duration::from_secs) else {
        let message = "X-Metadata-Token-Ttl-Seconds is missing or not from 1 to 21600".to_owned();
        return answer::plain(StatusCode::BAD_REQUEST, message);
    };
    let expires_at = cloud.clock.now().checked_add(lifetime);
    let token = drawing::text(64).expose_secret().to_owned();
    lock(&cloud.metadata.tokens).insert(token.clone(), expires_at.unwrap_or(Timestamp::MAX));
    answer::plain(StatusCode::OK, token)
}

fn give_key(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let token = call.header("x-metadata-token");
    if !cloud.metadata.lets_in(token, cloud.clock.now()) {
        return answer::plain(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
    }
    let key = cloud.issue_key(call.mood, None);
    answer::json(StatusCode::OK, &key.credential())
}

/// What it answers on a machine that has no agency. Callers know it by this text, and do not ask again.
fn no_agency() -> Response<Full<Bytes>> {
    let message = "Please configure Cloud Service Agency first".to_owned();
    answer::plain(StatusCode::UNAUTHORIZED, message)
}
