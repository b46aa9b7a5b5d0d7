//! STS: an identity token becomes a temporary key of an agency.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{Call, Cloud, Endpoint, Service, answer, is, text};
use crate::emulator::known::lock;

pub(super) static ASSUME_WITH_OIDC: Endpoint = Endpoint {
    service: Service::Sts,
    method: Method::POST,
    path: "/v5/agencies/assume-with-oidc",
    well: assume,
    unauthorized: Some(unauthorized),
};

fn assume(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let body = call.json();
    let field = |name: &str| text(&body, &format!("/{name}"));
    let needed = [
        "provider_urn",
        "agency_urn",
        "agency_session_name",
        "id_token",
    ];
    if let Some(name) = needed
        .into_iter()
        .find(|name| field(name).is_none_or(str::is_empty))
    {
        let message = format!("'{name}' is missing");
        return answer::refused(StatusCode::BAD_REQUEST, "STS5.400", &message);
    }
    let trusts = lock(&cloud.accounts)
        .federation
        .as_ref()
        .is_some_and(|federation| {
            field("provider_urn") == Some(&federation.provider_urn)
                && field("agency_urn") == Some(&federation.agency_urn)
                && is(&federation.id_token, field("id_token"))
        });
    if !trusts {
        return unauthorized();
    }
    let asked = body["duration_seconds"].as_u64().map(Duration::from_secs);
    let mut answer = cloud.issue_key(call.mood, asked).credentials();
    let session = field("agency_session_name");
    answer["assumed_agency"] = json!({ "urn": field("agency_urn"), "id": session });
    answer::json(StatusCode::OK, &answer)
}

fn unauthorized() -> Response<Full<Bytes>> {
    answer::refused(
        StatusCode::UNAUTHORIZED,
        "STS5.401",
        "the identity token is not accepted",
    )
}
