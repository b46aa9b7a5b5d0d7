//! Addresses in responses lead back through the capability, and through the listener of one route.

use apig_proxy::config::{ListenRules, Rights};

use super::Stage;
use crate::support::{Answer, Upstream, answer, request, route, rows};

/// An upstream that answers with this `Location` and `Set-Cookie`.
fn upstream(location: &str, cookie: &str) -> Upstream {
    let fields = format!("location: {location}\r\nset-cookie: {cookie}\r\n");
    Upstream::answering(answer("302 Found", &fields, ""))
}

/// The addresses in an answer.
fn leads_to(answer: &Answer) -> [String; 2] {
    ["location", "set-cookie"].map(|name| answer.header(name))
}

#[test]
fn location_and_cookie_path_get_the_capability_back() {
    for [location, cookie, location_back, cookie_back] in rows(
        "/base/next?a | a=1; Path=/base/x | CAP/f/next?a | a=1; Path=CAP/f/x
        /base | a=1; Path=/ | CAP/f | a=1; Path=CAP/
        https://other.example/ | a=1 | https://other.example/ | a=1",
    ) {
        let upstream = upstream(location, cookie);
        let flowers = route("/f", &upstream, "/base");
        let stage = Stage::before(upstream, Rights::default(), |config| {
            config.routes.insert(0, flowers)
        });
        let answer = stage.proxy.get(&stage.path("/f/first"));
        let capability = stage.path("");
        let back = [location_back, cookie_back].map(|text| text.replace("CAP", &capability));
        assert_eq!(leads_to(&answer), back);
        // A caller with a token sees no capability.
        let answer = stage
            .proxy
            .exchange(request("GET /f/first", &stage.bearer(), ""));
        answer.assert_hides("~");
    }
}

#[test]
fn a_listener_of_one_route_serves_it_on_every_path() {
    let upstream = upstream("/base/next", "a=1; Path=/base/x");
    let rules = |route| ListenRules {
        route: Some(route),
        requires_caller: true,
    };
    let rights = Rights {
        routes: vec!["/f".to_owned()],
        ..Rights::default()
    };
    let flowers = route("/f", &upstream, "/base");
    let inner = route("/f/v1", &upstream, "/inner");
    let stage = Stage::before(upstream, rights, |config| {
        config.routes.splice(0..0, [inner, flowers]);
        config.listen_rules = vec![rules(1)];
    });
    let answer = stage.proxy.get(&stage.path("/v2/a?b"));
    let cookie = format!("a=1; Path={}", stage.path("/x"));
    assert_eq!(leads_to(&answer), [stage.path("/next"), cookie]);
    let answer = stage.proxy.exchange(request("GET /", &stage.bearer(), ""));
    assert_eq!(leads_to(&answer), ["/next", "a=1; Path=/x"]);
    // The path of another route is not reachable here.
    let answer = stage.proxy.get(&stage.path("/v1/a"));
    answer.assert_refused(404, "no_route");
    let targets = stage.upstream.requests();
    let targets: Vec<&str> = targets.iter().map(|seen| seen.target()).collect();
    assert_eq!(targets, ["/base/v2/a?b", "/base"]);
}
