//! Pod identity of a cluster: keys for pods, which show the token that is mounted into them.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::{Call, Cloud, Endpoint, Service, answer, is};
use crate::emulator::known::lock;

/// Where pod identity answers. A cluster tells its pods the whole address.
pub const POD_IDENTITY_PATH: &str = "/v1/pod-identity/credentials";

pub(super) static CREDENTIALS: Endpoint = Endpoint {
    service: Service::PodIdentity,
    method: Method::POST,
    path: POD_IDENTITY_PATH,
    well: give_key,
    unauthorized: Some(unauthorized),
};

fn give_key(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let token = call.header("authorization");
    let knows = lock(&cloud.accounts)
        .pod_token
        .as_ref()
        .is_some_and(|known| is(known, token));
    if !knows {
        return unauthorized();
    }
    let key = cloud.issue_key(call.mood, None);
    answer::json(StatusCode::OK, &key.credentials())
}

fn unauthorized() -> Response<Full<Bytes>> {
    answer::refused(
        StatusCode::UNAUTHORIZED,
        "401",
        "the pod's token is not accepted",
    )
}
