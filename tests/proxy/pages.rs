//! Web pages that use the proxy: what they may read, which addresses they see, and which ones the
//! service behind the gateway sees of them.

use crate::support::{Scene, Upstream, answer, request, route, rows};

const PAGE: &str = "http://localhost:3000";

#[test]
fn a_page_of_a_listed_origin_may_read_errors_hints_and_request_ids() {
    let refusal = r#"{"error_code":"APIG.0308","error_msg":"too many","request_id":"1"}"#;
    let upstream = Upstream::answering(answer("429 No", "Vary: accept\r\n", refusal));
    let scene = Scene::with(upstream, |config| {
        config.access.origins = vec![PAGE.to_owned()];
        config.limits.body = 10;
    });
    for (line, fields, status) in [
        ("GET /refused", "", 429),
        ("POST /", "Content-Length: 11|", 413),
        ("GET /..", "", 400),
    ] {
        let of_page = format!("{fields}Origin: {PAGE}");
        let answer = scene.exchange(request(line, &of_page, ""));
        answer.assert_header(status, "access-control-allow-origin", PAGE);
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, "x-apig-proxy-hint, x-request-id");
        assert!(answer.all("vary").contains(&"origin".to_owned()));
        let other = scene.exchange(request(line, fields, ""));
        assert!(other.all("access-control-expose-headers").is_empty());
    }
}

#[test]
fn the_service_sees_its_own_origin_for_pages_of_the_proxy_unless_the_route_keeps_theirs() {
    let upstream = Upstream::start();
    let mut kept = route("/kept", &upstream, "/v1/x");
    kept.keeps_origin = true;
    let changed = route("/svc", &upstream, "/v1/x");
    let address = upstream.address;
    let scene = Scene::with(upstream, |config| config.routes = vec![kept, changed]);
    for [prefix, referer, expected_origin, expected_referer] in rows(
        "/svc | localhost/svc/lab?a | own | own/v1/x/lab?a
        /svc | localhost/kept/lab | own | own/
        /kept | localhost/kept/lab | localhost | localhost/kept/lab",
    ) {
        scene.upstream.forget();
        let fields = format!("Origin: http://localhost|Referer: http://{referer}");
        scene.passes(request(&format!("GET {prefix}/a"), &fields, ""));
        let arrived = scene.upstream.only_request();
        arrived.verified();
        let expected =
            [expected_origin, expected_referer].map(|text| match text.strip_prefix("own") {
                Some(path) => format!("https://{address}{path}"),
                None => format!("http://{text}"),
            });
        let found = ["origin", "referer"].map(|name| arrived.header(name));
        assert_eq!(found, expected, "{prefix} {referer}");
    }
}
