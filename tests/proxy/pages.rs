//! Web pages that use the proxy: what they may read, which addresses they see, and which ones the
//! service behind the gateway sees of them.

use crate::support::{FAULT, Scene, Upstream, answer, route};

const PAGE: &str = "http://localhost:3000";

#[test]
fn a_page_of_a_listed_origin_may_read_errors_hints_and_request_ids() {
    let upstream = Upstream::scripted(|_, out| {
        let refusal = r#"{"error_code":"APIG.0308","error_msg":"too many","request_id":"1"}"#;
        out.write_all(answer("429 No", "Vary: accept\r\n", refusal).as_bytes())
    });
    let scene = Scene::with(upstream, |config| {
        config.access.origins = vec![PAGE.to_owned()];
        config.limits.body = 10;
    });
    for (line, status) in [
        ("GET /refused HTTP/1.1\r\n", 429),
        ("POST / HTTP/1.1\r\nContent-Length: 11\r\n", 413),
        ("GET /.. HTTP/1.1\r\n", 400),
    ] {
        let answer = scene.exchange(format!("{line}Host: localhost\r\nOrigin: {PAGE}\r\n\r\n"));
        answer.assert_header(status, "access-control-allow-origin", PAGE);
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, "x-apig-proxy-hint, x-request-id");
        assert!(answer.all("vary").contains(&"origin".to_owned()));
        let other = scene.exchange(format!("{line}Host: localhost\r\n\r\n"));
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
    for (prefix, origin, referer, expected) in [
        (
            "/svc",
            "localhost",
            "localhost/svc/lab?a",
            ["own", "own/v1/x/lab?a"],
        ),
        ("/svc", "localhost", "localhost/kept/lab", ["own", "own/"]),
        (
            "/kept",
            "localhost",
            "localhost/kept/lab",
            ["localhost", "localhost/kept/lab"],
        ),
    ] {
        let before = scene.upstream.requests().len();
        let request = format!(
            "GET {prefix}/a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://{origin}\r\nReferer: http://{referer}\r\n\r\n"
        );
        scene.exchange(request).assert_status(200);
        let arrived = &scene.upstream.requests()[before];
        arrived.verified();
        let expected = expected.map(|text| match text.strip_prefix("own") {
            Some(path) => format!("https://{address}{path}"),
            None => format!("http://{text}"),
        });
        let found = ["origin", "referer"].map(|name| arrived.header(name));
        assert_eq!(found, expected, "{prefix} {referer}");
    }
}

#[test]
fn fault_60_redirects_to_http_and_to_other_routes_stay_on_the_proxy_and_so_do_cookies() {
    let upstream = Upstream::scripted(|seen, out| {
        let host = seen.header("host");
        let name = host.split(':').next().unwrap();
        let location = match seen.target() {
            "/v1/x/http" => format!("http://{host}/v1/x/items/"),
            "/v1/x/other" => format!("https://{host}/v1/y/items"),
            _ => "http://elsewhere.example/v1/x".to_owned(),
        };
        let fields = format!(
            "Location: {location}\r\nSet-Cookie: a=1; Path=/v1/x; Domain={name}; HttpOnly\r\nSet-Cookie: b=2; Path=/\r\n"
        );
        out.write_all(answer("307 Moved", &fields, "").as_bytes())
    });
    let routes =
        ["x", "y"].map(|name| route(&format!("/{name}"), &upstream, &format!("/v1/{name}")));
    let scene = Scene::with(upstream, |config| config.routes = routes.into());
    for (path, expected) in [
        ("/x/http", "http://localhost/x/items/"),
        ("/x/other", "http://localhost/y/items"),
        ("/x/elsewhere", "http://elsewhere.example/v1/x"),
    ] {
        let answer = scene.exchange(FAULT.replace("/fault", path));
        answer.assert_header(307, "location", expected);
        assert_eq!(
            answer.all("set-cookie"),
            ["a=1; Path=/x; HttpOnly", "b=2; Path=/"]
        );
    }
}
