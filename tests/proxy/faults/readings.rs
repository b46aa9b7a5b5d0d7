//! Requests that the gateway reads differently: numbers 90 to 92.

use apig_proxy::emulator::{Accounts, Readings};
use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, SigningDate, Target,
};
use serde_json::Value;

use crate::credentials::{Region, accepted};
use crate::support::{
    Answer, Proxy, Received, Scene, Upstream, config, gateway_error, get, ok, request,
    wrong_signature,
};

/// A gateway with these readings, and a proxy in front of it.
fn before_gateway(readings: Readings) -> (Region, Proxy) {
    let key = crate::credentials::key("AK-OF-READINGS");
    let accounts = Accounts {
        keys: vec![key],
        ..Accounts::throw_away()
    };
    let region = Region::at("127.0.0.1:0", accounts, readings);
    let proxy = proxy_with(&region, "AK-OF-READINGS-SECRET-0123456789");
    (region, proxy)
}

/// A proxy before a gateway, with this secret key.
fn proxy_with(region: &Region, secret: &str) -> Proxy {
    region.key_file("key.csv", "AK-OF-READINGS", secret);
    region.proxy("upstream = \"UPSTREAM\"\n[credentials]\nfile = \"key.csv\"\n")
}

fn merging() -> (Region, Proxy) {
    before_gateway(Readings {
        merges_slashes: true,
        first_hundred: false,
    })
}

/// The number of requests that a gateway has received.
fn received(region: &Region) -> u64 {
    region
        .counts
        .requests
        .load(std::sync::atomic::Ordering::SeqCst)
}

fn send(proxy: &Proxy, method: &str, path: &str) -> Answer {
    proxy.exchange(get(path).replacen("GET", method, 1))
}

#[test]
fn fault_90_slashes_that_the_gateway_merges_are_learned_from_its_echo_and_sent_as_they_are() {
    for (path, method) in [
        ("//flowers//red", "GET"),
        ("/flowers/%2Fred", "PUT"),
        ("//a%2F%2fb/?c=//", "DELETE"),
    ] {
        let (region, proxy) = merging();
        for requests in [2, 3, 4] {
            let echo: Value = accepted(&send(&proxy, method, path));
            let sent = path.split('?').next().unwrap();
            assert_eq!(echo["path"], sent);
            assert_eq!(echo["method"], method);
            assert_eq!(received(&region), requests, "{method} {path}");
        }
    }
}

#[test]
fn fault_90_what_a_post_teaches_is_used_by_the_next_request() {
    let (region, proxy) = merging();
    let refused = send(&proxy, "POST", "//flowers");
    refused.assert_status(401);
    refused.assert_hints("merges the slashes");
    assert_eq!(received(&region), 1);
    accepted(&send(&proxy, "POST", "//flowers"));
    assert_eq!(received(&region), 2);
}

#[test]
fn fault_90_an_echo_of_what_was_signed_shows_a_wrong_secret_and_no_other_reading() {
    const LEARNED: &str = "has learned from this refusal";
    const WRONG: &str = "the secret key does not belong to the access key";
    let kept = Readings::default();
    let merged = Readings {
        merges_slashes: true,
        ..kept
    };
    for (readings, method, hints) in [
        (merged, "POST", &[LEARNED, WRONG, WRONG, WRONG][..]),
        // The first refusal teaches the reading, and the request is retried.
        (merged, "GET", &[WRONG, WRONG, WRONG]),
        (kept, "POST", &[WRONG, WRONG, WRONG]),
    ] {
        let (region, _) = before_gateway(readings);
        let proxy = proxy_with(&region, "ANOTHER-SECRET-0123456789");
        for expected in hints {
            let refused = send(&proxy, method, "/a//b");
            assert_eq!(refused.status, 401, "{readings:?} {method}");
            refused.about((readings, method)).assert_hints(expected);
        }
        // The breaker of the key has opened, not that of the paths.
        for path in ["/a//b", "/plain"] {
            let refused = send(&proxy, method, path);
            refused.assert_refused(503, "key_locked");
            assert!(!refused.text().contains("without `//`"));
        }
        let reached = hints.len() + usize::from(method == "GET");
        assert_eq!(received(&region), reached as u64, "{readings:?} {method}");
    }
}

#[test]
fn fault_90_a_gateway_that_keeps_slashes_gets_every_path_signed_as_it_is() {
    let (region, proxy) = before_gateway(Readings::default());
    for path in ["//flowers", "/a/%2Fb", "/a//b//"] {
        accepted(&proxy.get(path));
    }
    assert_eq!(received(&region), 3);
}

/// The gateway's echo of a request with this path, altered.
fn echo(head: &Received, path: &str, alter: fn(String) -> String) -> String {
    let date = SigningDate::parse(head.header("x-sdk-date")).unwrap();
    let headers = [("host", head.header("host")), ("x-stage", "RELEASE")];
    let target = Target::parse(path).unwrap();
    let payload = Payload::Hash(&PayloadHash::EMPTY);
    let algorithm = Algorithm::HmacSha256;
    let canonical =
        CanonicalRequest::new(algorithm, head.method(), target, &headers, &date, payload).unwrap();
    let canonical = alter(canonical.to_string()).replace('\n', "|");
    let message = format!("verify aksk signature fail, canonicalRequest:{canonical}");
    gateway_error("401 Unauthorized", "APIG.0301", &message)
}

#[test]
fn fault_90_a_forged_or_differing_echo_passes_through_and_teaches_nothing() {
    let alterations: [fn(String) -> String; 4] = [
        |text| text.replace("/a/", "/b/"),
        |text| text.replace("x-stage:RELEASE", "x-stage:TEST"),
        |text| text.replace("x-sdk-date:2", "x-sdk-date:1"),
        |text| text + "0",
    ];
    for alter in alterations {
        let scene = Scene::before(Upstream::replying(move |head| echo(head, "/a", alter)));
        for requests in [1, 2] {
            let refused = scene.get("//a");
            assert_eq!(refused.status, 401);
            refused.assert_says("APIG.0301");
            assert_eq!(scene.upstream.requests().len(), requests);
        }
    }
}

#[test]
fn fault_90_refused_slashes_stop_after_two_requests_and_never_lock_the_key() {
    let scene = Scene::before(Upstream::replying(|seen| match seen.target() {
        target if target.contains("//") => wrong_signature(),
        _ => ok("ok"),
    }));
    for expected in [[401, 401, 503, 503, 503], [503; 5]] {
        assert_eq!([(); 5].map(|()| scene.get("//slashes").status), expected);
        assert_eq!(scene.get("/plain").status, 200);
    }
    let refused = scene.get("/a//b");
    refused.assert_refused(503, "key_locked");
    refused.assert_says("without `//`");
    let mut requests = scene.upstream.requests();
    requests.retain(|seen| seen.target().contains("//"));
    assert_eq!(requests.len(), 2);
    // They are no failures of the key, which may have three.
    let scene = Scene::before(Upstream::answering(wrong_signature()));
    assert_eq!([(); 3].map(|()| scene.get("//a").status), [401, 401, 503]);
    assert_eq!(
        [(); 4].map(|()| scene.get("/a").status),
        [401, 401, 401, 503]
    );
}

#[test]
fn fault_91_the_project_of_a_caller_is_taken_checked_and_signed() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.credentials[0].takes_project_id = true;
    let proxy = Proxy::start(&config);
    let asking = |fields: &str| request("GET /v1", fields, "");
    let project = "0605768a3300d5762f82c01b7a8b8f5f";
    proxy.passes(asking(&format!("X-Project-Id: {project}")));
    let seen = upstream.only_request();
    assert_eq!(seen.header("x-project-id"), project);
    let signed = seen.verified().signed_headers;
    assert!(signed.contains(&"x-project-id".to_owned()), "{signed:?}");
    upstream.forget();
    let values = ["", "a b", "a,b", "a|X-Project-Id: a"];
    for value in values {
        let refused = proxy.exchange(asking(&format!("X-Project-Id: {value}")));
        refused.about(value).assert_refused(400, "bad_request");
    }
    // The caller sent none, and neither does the proxy.
    proxy.passes(asking("X_Project_Id: evil"));
    let seen = upstream.only_request();
    assert!(!seen.names().iter().any(|name| name.contains("project")));
    seen.verified();
}

#[test]
fn fault_92_the_headers_of_the_proxy_come_first_if_a_caller_sends_nearly_a_hundred() {
    let (_region, proxy) = before_gateway(Readings {
        first_hundred: true,
        ..Readings::default()
    });
    let fields: String = (0..98).map(|number| format!("x-{number}: 1|")).collect();
    let shown = accepted(&proxy.exchange(request("GET /many", &fields, "")));
    assert!(shown["headers"].as_array().unwrap().len() > 100);
}
