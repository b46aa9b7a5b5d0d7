//! What is counted, request by request.

use apig_proxy::telemetry::metrics::families;

use crate::support::{
    Exposition, Proxy, Received, Scene, Upstream, answer, config, gateway_error, get, ok, request,
    route, wait_until,
};

fn requests(metrics: &Exposition) -> Vec<(String, f64)> {
    let mut all = metrics.all("apig_proxy_requests_total");
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn gauge(proxy: &Proxy, name: &str) -> f64 {
    proxy.metrics().value(name, "")
}

/// The metrics once all requests have ended.
fn at_rest(proxy: &Proxy) -> Exposition {
    wait_until("no request in flight", || {
        gauge(proxy, "apig_proxy_in_flight") == 0.0
    });
    proxy.metrics()
}

/// What the upstream answers, by the path.
fn reply(seen: &Received) -> String {
    match seen.target() {
        "/created" => answer("201 Created", "", "ok"),
        "/missing" => answer("404 Not Found", "", "not here"),
        "/unpublished" => gateway_error("404 Not Found", "APIG.0101", "The API does not exist"),
        "/broken" => answer("500 Internal Server Error", "", "no"),
        _ => ok("ok"),
    }
}

const CALLS: [(&str, &str, u16); 10] = [
    ("GET /", "", 200),
    ("GET /MARKER", "", 200),
    ("MARKER /", "", 200),
    ("GET /missing", "", 404),
    ("GET /unpublished", "", 404),
    ("GET /broken", "", 500),
    ("POST /flowers", "Content-Length: 0", 201),
    ("PUT /flowers", "Content-Length: 99999999", 413),
    ("GET /%zz", "", 400),
    ("GET /", "Origin: http://MARKER", 403),
];

#[test]
fn every_request_is_counted_once_by_route_method_code_and_outcome() {
    let upstream = Upstream::replying(reply);
    let mut config = config(&upstream);
    config.routes = vec![
        route("/flowers", &upstream, "/created"),
        route("", &upstream, ""),
    ];
    let proxy = Proxy::start(&config);
    for (line, fields, status) in CALLS {
        let answer = proxy.exchange(request(line, fields, ""));
        answer.about(line).assert_status(status);
    }
    proxy.exchange("MARKER\r\n\r\n").assert_status(400);
    // Whoever has read an answer finds it counted.
    let counted = requests(&proxy.metrics());
    let expected = [
        "route=none method=GET code=403 outcome=origin_not_allowed",
        "route=none method=other code=400 outcome=bad_request",
        "route=/flowers method=POST code=201 outcome=ok",
        "route=/flowers method=PUT code=413 outcome=body_too_large",
        "route=/ method=GET code=200 outcome=ok",
        "route=/ method=GET code=400 outcome=bad_target",
        "route=/ method=GET code=404 outcome=client_error",
        "route=/ method=GET code=404 outcome=gateway_error",
        "route=/ method=GET code=500 outcome=gateway_error",
        "route=/ method=other code=200 outcome=ok",
    ];
    let mut expected = expected.map(|labels| {
        let count = if labels == expected[4] { 2.0 } else { 1.0 };
        (labels.to_owned(), count)
    });
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(counted, expected);
    let metrics = at_rest(&proxy);
    let duration = |what| metrics.value(&format!("apig_proxy_{what}_duration_seconds_count"), "");
    assert_eq!(duration("request"), 11.0);
    assert_eq!((duration("upstream"), duration("signing")), (7.0, 7.0));
    let errors = metrics.value("apig_proxy_gateway_errors_total", "error_code=APIG.0101");
    assert_eq!(errors, 1.0);
    assert!(!proxy.asked("/metrics").text().contains("MARKER"));
}

#[test]
fn every_metric_is_there_and_no_other() {
    let scene = Scene::plain();
    scene.serves();
    let metrics = at_rest(&scene.proxy);
    let expected = families().map(|family| {
        let kind = family.kind.as_str();
        (family.name.to_owned(), kind.to_owned())
    });
    assert_eq!(metrics.families, expected.collect::<Vec<_>>());
    let version = format!("version={}", env!("CARGO_PKG_VERSION"));
    assert_eq!(metrics.value("apig_proxy_build_info", &version), 1.0);
    for name in ["in_flight", "buffered_bytes", "key_locked"] {
        assert_eq!(metrics.value(&format!("apig_proxy_{name}"), ""), 0.0);
    }
    let upstream = format!("upstream={}", scene.upstream.address);
    assert_eq!(
        metrics.value("apig_proxy_clock_skew_seconds", &upstream),
        0.0
    );
    let connections = metrics.all("apig_proxy_upstream_connections");
    let expected = [("idle", 1.0), ("active", 0.0)];
    let expected = expected.map(|(state, count)| (format!("{upstream} state={state}"), count));
    assert_eq!(connections, expected);
}

#[test]
fn a_request_is_in_flight_until_the_last_byte_of_its_answer() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha";
    let (upstream, go_on) = Upstream::halting(half, "lf");
    let name = format!("upstream={}", upstream.address);
    let scene = Scene::before(upstream);
    let mut client = scene.client();
    client.send(get("/"));
    client.until("HTTP/1.1 200 OK", "ha");
    let connections = |proxy: &Proxy| {
        let metrics = proxy.metrics();
        ["idle", "active"].map(|state| {
            let labels = format!("{name} state={state}");
            metrics.value("apig_proxy_upstream_connections", &labels)
        })
    };
    let metrics = scene.proxy.metrics();
    assert_eq!(metrics.value("apig_proxy_in_flight", ""), 1.0);
    assert_eq!(
        metrics.value("apig_proxy_request_duration_seconds_count", ""),
        0.0
    );
    assert_eq!(connections(&scene.proxy), [0.0, 1.0]);
    go_on.send(()).unwrap();
    client.until("lf", "lf");
    let metrics = at_rest(&scene.proxy);
    let took = metrics.value("apig_proxy_request_duration_seconds_sum", "");
    let waited = metrics.value("apig_proxy_upstream_duration_seconds_sum", "");
    assert!(took > waited, "{took} {waited}");
    assert_eq!(connections(&scene.proxy), [1.0, 0.0]);
}
