//! The embedded gateway over HTTP/2.

use http::header::HOST;
use http::uri::{Parts, Scheme};
use http::{Request, Uri};
use http_body_util::BodyExt;
use serde_json::Value;

use super::running::Running;
use super::{NOW, signed};

/// The request as HTTP/2 sends it: `:authority` instead of `Host`.
pub(super) fn with_authority<B>(mut request: Request<B>) -> Request<B> {
    let host = request.headers_mut().remove(HOST).unwrap();
    let mut parts = Parts::from(request.uri().clone());
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(host.to_str().unwrap().parse().unwrap());
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    request
}

#[tokio::test]
async fn authority_counts_as_host_for_the_signature() {
    let gateway = Running::start();
    let request = with_authority(signed("AK", "secret", b"{}", NOW, None));
    let response = gateway.over_http2(request).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["verified"], body["body_bytes"].as_u64()),
        (&Value::Bool(true), Some(2)),
        "{body}"
    );
    let host = Value::from(vec!["host", "localhost"]);
    assert!(
        body["headers"].as_array().unwrap().contains(&host),
        "{body}"
    );
}

#[tokio::test]
async fn refusals_are_those_of_http1() {
    let gateway = Running::start();
    let changed = with_authority(signed("AK", "wrong", b"{}", NOW, None));
    let mut two_hosts = with_authority(signed("AK", "secret", b"{}", NOW, None));
    two_hosts
        .headers_mut()
        .insert(HOST, "other".parse().unwrap());
    let mut long = with_authority(signed("AK", "secret", b"{}", NOW, None));
    let value = "a".repeat(33 * 1024).parse().unwrap();
    long.headers_mut().insert("x-a", value);
    for (request, status) in [(changed, 401), (two_hosts, 400), (long, 494)] {
        assert_eq!(gateway.over_http2(request).await.status(), status);
    }
}
