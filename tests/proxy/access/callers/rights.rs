//! The rights of callers, in both readings of a path.

use apig_proxy::clock;
use apig_proxy::config::{Methods, Rate, ReadOnly, ReadRule, Rights};
use http::Method;

use super::Stage;
use crate::support::{Upstream, get, request, route};

/// Checks the code of the answer to each request, which is empty for those that pass.
fn check(stage: &Stage, cases: &[(&str, &str)]) {
    for (line, code) in cases {
        let answer = stage.proxy.exchange(request(line, &stage.bearer(), ""));
        match *code {
            "" => answer.about(line).assert_status(200),
            code => assert_eq!(answer.code(), code, "{line}"),
        }
    }
    let passed = cases.iter().filter(|case| case.1.is_empty()).count();
    assert_eq!(stage.upstream.requests().len(), passed);
}

#[test]
fn a_caller_has_its_routes_and_methods_however_the_path_is_written() {
    let rights = Rights {
        routes: vec!["/flowers/v1".to_owned()],
        methods: Some(Methods::Only(vec![Method::GET])),
        ..Rights::default()
    };
    let upstream = Upstream::start();
    let flowers = route("/flowers", &upstream, "/base");
    let stage = Stage::before(upstream, rights, |config| config.routes.insert(0, flowers));
    check(
        &stage,
        &[
            ("GET /flowers/v1/a", ""),
            ("GET /flowers/v1", ""),
            ("POST /flowers/v1/a", "caller_not_allowed"),
            ("GET /flowers/v2", "caller_not_allowed"),
            ("GET /flowers/v10", "caller_not_allowed"),
            ("GET /", "caller_not_allowed"),
            ("GET //flowers/v1", "no_route"),
            ("GET /flowers//v1", "no_route"),
            ("GET /flowers%2fv1", "no_route"),
            ("GET /flowers/%76%31/a", "no_route"),
            ("GET /flowers/v1%2F..%2Fv2", "no_route"),
            ("GET /flowers/v1/../v2", "bad_target"),
            ("GET /flowers/v1/%2e%2e/v2", "bad_target"),
        ],
    );
}

#[test]
fn read_only_can_be_set_for_everything_a_route_or_a_caller() {
    let limit = || ReadOnly {
        enabled: true,
        reads: vec![ReadRule::parse("POST /*/search").unwrap()],
    };
    let cases = [
        ("GET /a", ""),
        ("POST /a/search", ""),
        ("DELETE /a", "read_only"),
        ("POST /a", "read_only"),
        ("POST /a/b/search", "read_only"),
        ("POST /a%2Fb/search", "read_only"),
        ("POST /a//search", "no_route"),
    ];
    let rights = Rights {
        read_only: limit(),
        ..Rights::default()
    };
    check(&Stage::new(rights), &cases);
    let start = Upstream::start;
    let stage = Stage::before(start(), Rights::default(), |config| {
        config.read_only = limit()
    });
    check(&stage, &cases);
    let stage = Stage::before(start(), Rights::default(), |config| {
        config.routes[0].read_only = limit();
    });
    check(&stage, &cases);
    // It also holds without callers.
    let stage = Stage::before(start(), Rights::default(), |config| {
        config.read_only = limit();
        config.listen_rules.clear();
    });
    let answer = stage.proxy.exchange(request("DELETE /a", "", ""));
    answer.assert_refused(403, "read_only");
    stage.proxy.passes(get("/a"));
}

#[test]
fn a_caller_is_refused_after_its_expiry_and_over_its_rate() {
    let until = |end| Rights {
        expires: Some(clock::unix_seconds() + end),
        ..Rights::default()
    };
    check(&Stage::new(until(-1)), &[("GET /", "caller_not_allowed")]);
    check(&Stage::new(until(3600)), &[("GET /", "")]);
    let rate = Rate {
        requests: 2,
        seconds: 3600,
    };
    let stage = Stage::new(Rights {
        rate: Some(rate),
        ..Rights::default()
    });
    check(
        &stage,
        &[("GET /", ""), ("GET /", ""), ("GET /", "caller_limited")],
    );
    let refused = "route=none method=GET code=429 outcome=caller_limited caller=ci";
    let metrics = stage.proxy.metrics();
    assert_eq!(metrics.value("apig_proxy_requests_total", refused), 1.0);
}
