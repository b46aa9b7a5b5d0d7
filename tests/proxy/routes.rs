//! Where requests go.

use http::HeaderValue;

use crate::support::{Proxy, Upstream, config, route};

#[test]
fn the_longest_prefix_decides_and_is_replaced_by_the_upstream_s_path() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let mut config = config(&first);
    config.routes = vec![
        route("/flowers/red", &second, "/v1/infers/red"),
        route("/flowers", &first, "/v1/infers/all"),
    ];
    config.routes[0].stage = HeaderValue::from_static("TEST");
    let proxy = Proxy::start(&config);
    let get =
        |path: &str| proxy.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(get("/flowers/red/1?x=+").status, 200);
    assert_eq!(get("/flowers/redder").status, 200);
    assert_eq!(get("/flowers").status, 200);
    let answer = get("/trees");
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));

    let red = second.only_request();
    assert_eq!(
        (red.target(), red.header("x-stage")),
        ("/v1/infers/red/1?x=%20", "TEST")
    );
    assert_eq!(red.header("host"), second.address.to_string());
    red.verified();
    let [redder, all] = first.requests().try_into().unwrap();
    assert_eq!(
        (redder.target(), all.target()),
        ("/v1/infers/all/redder", "/v1/infers/all")
    );
    redder.verified();
}
