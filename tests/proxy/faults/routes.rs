//! Routes, methods and paths that a spelling is meant to circumvent: number 103.

use apig_proxy::config::{Methods, PathRule};
use http::Method;

use crate::support::{Proxy, Upstream, config, route};

/// Two upstreams: one with limits for `/flowers`, one for everything else.
fn limited(paths: Option<Vec<PathRule>>) -> (Upstream, Upstream, Proxy) {
    let (flowers, others) = (Upstream::start(), Upstream::start());
    let mut config = config(&others);
    let mut limited = route("/flowers", &flowers, "/v1");
    limited.methods = Some(Methods::Only(vec![Method::GET]));
    limited.paths = paths;
    let garden = route("/caf%C3%A9/garden", &flowers, "/garden");
    config.routes = vec![garden, limited, config.routes.remove(0)];
    let proxy = Proxy::start(&config);
    (flowers, others, proxy)
}

fn ask(proxy: &Proxy, method: &str, path: &str) -> (u16, String) {
    let answer = proxy.exchange(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    ));
    let code = if answer.status == 200 {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

#[test]
fn fault_103_a_spelling_that_another_route_may_be_meant_by_has_no_route() {
    let (flowers, others, proxy) = limited(None);
    let paths = "/%66lowers /%66lowers/1 /flower%73/1 //flowers ///flowers/1 /%2Fflowers/1 \
            /%2fflowers /flowers%2Fx /flowers%2fx /flowers%2F //%66lowers%2f%2Fx \
            /%66%6c%6f%77%65%72%73?a=1 /caf%c3%a9/garden /%63af%C3%A9/garden/1 \
            //caf%C3%A9/garden /caf%C3%A9//garden /caf%C3%A9%2Fgarden \
            http://localhost//flowers";
    for path in paths.split_whitespace() {
        for method in ["GET", "DELETE"] {
            let expected = (404, "no_route".to_owned());
            assert_eq!(ask(&proxy, method, path), expected, "{method} {path}");
        }
    }
    assert!(flowers.requests().is_empty() && others.requests().is_empty());
    assert_eq!(ask(&proxy, "GET", "/next").0, 200);
    assert_eq!(others.only_request().target(), "/next");
}

#[test]
fn fault_103_slashes_and_escapes_within_a_route_go_out_as_they_came() {
    let (flowers, others, proxy) = limited(None);
    let within = [
        ("/flowers//1", "/v1//1"),
        ("/flowers/", "/v1/"),
        ("/flowers//", "/v1//"),
        ("/flowers/a%2Fb", "/v1/a%2Fb"),
        ("/flowers/%2F%2fa", "/v1/%2F%2fa"),
        ("/flowers/%66lowers?b=//c%2F", "/v1/%66lowers?b=//c%2F"),
        ("/flowers/caf%C3%A9//x%20y", "/v1/caf%C3%A9//x%20y"),
        ("/caf%C3%A9/garden//%61", "/garden//%61"),
    ];
    let elsewhere = [
        "//",
        "//trees",
        "/trees%2Fx//y",
        "/a%2Fflowers",
        "/a//flowers",
        "/a%00b",
        // Decoded once only, as the gateway does: these are other words than flowers.
        "/flowers%252Fx",
        "/%2566lowers",
        "/flowers%5Cx",
        "/Flowers",
        "/flowersx",
    ];
    for (path, _) in within {
        assert_eq!(ask(&proxy, "GET", path).0, 200, "{path}");
    }
    // The limits of the route hold for each spelling that stays within it.
    for (path, _) in &within[..7] {
        let refused = (405, "method_not_allowed".to_owned());
        assert_eq!(ask(&proxy, "DELETE", path), refused, "{path}");
    }
    for path in elsewhere {
        assert_eq!(ask(&proxy, "DELETE", path).0, 200, "{path}");
    }
    let targets = |upstream: &Upstream| -> Vec<String> {
        let requests = upstream.requests();
        requests
            .iter()
            .map(|seen| seen.target().to_owned())
            .collect()
    };
    assert_eq!(targets(&flowers), within.map(|(_, target)| target));
    assert_eq!(targets(&others), elsewhere);
    flowers
        .requests()
        .iter()
        .chain(&others.requests())
        .for_each(|seen| {
            seen.verified();
        });
}

#[test]
fn fault_103_allowed_paths_are_not_circumvented_by_spelling() {
    let rules = [
        PathRule::Exact("/flowers/predict".to_owned()),
        PathRule::Below("/flowers/models/".to_owned()),
    ];
    let (flowers, others, proxy) = limited(Some(rules.to_vec()));
    for (path, status) in [
        ("/flowers/predict", 200),
        ("/flowers/models//x", 200),
        ("/flowers/models/a%2Fb", 200),
        ("/flowers/models/%2F", 200),
        ("/flowers/admin", 404),
        ("/flowers/%61dmin", 404),
        ("/flowers//admin", 404),
        ("/%66lowers/admin", 404),
        ("//flowers/admin", 404),
        ("/flowers%2Fadmin", 404),
        ("/flowers%2Fpredict", 404),
        ("/flowers/models%2Fx", 404),
        ("/flowers//models/x", 404),
    ] {
        assert_eq!(ask(&proxy, "GET", path).0, status, "{path}");
    }
    assert_eq!((flowers.requests().len(), others.requests().len()), (4, 0));
}

#[test]
fn fault_103_a_single_route_takes_every_spelling() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let paths = [
        "//",
        "/%66lowers",
        "//flowers",
        "/flowers%2Fx",
        "/%2F%2f/a//",
        "/%252F",
    ];
    for path in paths {
        assert_eq!(ask(&proxy, "GET", path).0, 200, "{path}");
    }
    let requests = upstream.requests();
    assert!(requests.iter().map(|seen| seen.target()).eq(paths));
}
