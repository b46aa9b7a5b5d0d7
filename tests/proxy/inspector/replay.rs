//! Replays: what reaches the gateway, and what is not sent.

use apig_proxy::config::{CallerToken, Methods, ReplayPolicy};
use serde_json::{Value, json};

use super::{ask, assert_error, assert_has, ended, inspected, inspected_before, order, read};
use crate::support::{Answer, Proxy, Upstream, get, post, request};

/// The path of the API for the newest request, which has ended.
fn newest(proxy: &Proxy, count: usize) -> String {
    let request = ended(proxy, "", count).remove(0);
    format!("requests/{}", request["id"].as_str().unwrap())
}

fn replay(proxy: &Proxy, path: &str, order: &Value) -> Answer {
    ask(proxy, "POST", &format!("{path}/replay"), &order.to_string())
}

/// Checks that a replay is refused.
#[track_caller]
fn is_refused(proxy: &Proxy, path: &str, order: &Value, status: u16, code: &str) {
    let refused = replay(proxy, path, order);
    assert_error(refused.about(order), status, code);
}

/// The id of the request that is sent by a replay.
#[track_caller]
fn sent(answer: &Answer) -> Value {
    answer.assert_status(202);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["id"].take()
}

#[test]
fn a_get_is_sent_again_as_it_was_with_a_signature_of_its_own() {
    let scene = inspected();
    scene.passes(request("GET /v1?b=2&a=1", "X-Own: value", ""));
    let path = newest(&scene.proxy, 1);
    let id = sent(&ask(&scene.proxy, "POST", &format!("{path}/replay"), ""));
    let again = ended(&scene.proxy, "is:replay", 1).remove(0);
    assert_eq!((&again["id"], &again["status"]), (&id, &json!(200)));
    assert_eq!(again["caller"], "replay");
    assert!(path.ends_with(again["replay_of"].as_str().unwrap()));
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 2);
    for received in &requests {
        received.verified();
        assert_eq!(received.target(), "/v1?b=2&a=1");
        assert_eq!(received.header("x-own"), "value");
    }
    assert_eq!(requests[0].names(), requests[1].names());
}

#[test]
fn a_post_is_sent_again_only_after_a_confirmation() {
    let scene = inspected();
    scene.passes(post("application/json", b"{\"a\": 1}"));
    let path = newest(&scene.proxy, 1);
    for order in [json!({}), json!({"confirm": false})] {
        is_refused(&scene.proxy, &path, &order, 409, "needs_confirmation");
    }
    assert_eq!(scene.upstream.requests().len(), 1);
    sent(&replay(&scene.proxy, &path, &json!({"confirm": true})));
    ended(&scene.proxy, "is:replay", 1);
    let again = scene.upstream.requests().remove(1);
    again.verified();
    assert_eq!(again.method(), "POST");
    assert_eq!(&again.body[..], &b"{\"a\": 1}"[..]);
    assert_eq!(again.header("content-type"), "application/json");
}

#[test]
fn an_edited_request_and_a_new_one_are_sent() {
    let scene = inspected();
    scene.passes(post("application/json", b"{}"));
    let path = newest(&scene.proxy, 1);
    let edit = json!({"confirm": true, "edit": {
        "method": "PUT", "target": "/edited?x=%20", "body_base64": "AP8=",
        "headers": [["Host", "localhost:1"], ["X-A", "1"], ["x-a", "2"], ["Content-Length", "77"], ["Connection", "x-a"],
                    ["Authorization", "‹Authorization, 5 bytes, sha256 00000000›"], [":path", "/"]]}});
    sent(&replay(&scene.proxy, &path, &edit));
    ended(&scene.proxy, "is:replay", 1);
    let edited = scene.upstream.requests().remove(1);
    edited.verified();
    assert_eq!(edited.line, "PUT /edited?x=%20 HTTP/1.1");
    assert_eq!(&edited.body[..], &[0, 255][..]);
    assert_eq!(edited.all("x-a"), vec![&b"1"[..], b"2"]);
    let own = json!({"edit": {"method": "GET", "target": "/own"}});
    sent(&ask(&scene.proxy, "POST", "send", &own.to_string()));
    let own = ended(&scene.proxy, "path:/own", 1).remove(0);
    assert_eq!(own["replay_of"], Value::Null);
    for edit in [
        json!({"target": "own"}),
        json!({"target": "/a b"}),
        json!({"method": "CONNECT"}),
        json!({"method": "G T"}),
        json!({"headers": [["x a", "1"]]}),
        json!({"headers": [["x-a", "1\r\nx-b: 2"]]}),
        json!({"body_base64": "!"}),
        json!({"other": 1}),
    ] {
        let order = json!({"confirm": true, "edit": edit});
        is_refused(&scene.proxy, &path, &order, 400, "bad_request");
    }
    assert_eq!(scene.upstream.requests().len(), 3);
}

#[test]
fn a_truncated_request_or_one_with_hidden_values_is_not_replayed_unless_edited() {
    let scene = inspected_before(Upstream::start(), |config| config.inspect.bodies = 4);
    scene.passes(post("text/plain", b"12345"));
    let long = newest(&scene.proxy, 1);
    let confirmed = json!({"confirm": true});
    is_refused(&scene.proxy, &long, &confirmed, 409, "body_not_kept");
    scene.passes(request("GET /v1", "Cookie: a=MARKER", ""));
    let secret = newest(&scene.proxy, 2);
    is_refused(&scene.proxy, &secret, &confirmed, 409, "hidden_values");
    let detail = read(&scene.proxy, &secret);
    let fields = detail["received"]["fields"].clone();
    let hidden = json!({"edit": {"method": "GET", "target": "/v1", "headers": fields, "body": ""}});
    is_refused(&scene.proxy, &secret, &hidden, 409, "hidden_values");
    let given = json!({"edit": {"method": "GET", "target": "/v1", "headers": [["cookie", "a=b"]], "body": ""}});
    sent(&replay(&scene.proxy, &secret, &given));
    ended(&scene.proxy, "is:replay", 1);
    assert_eq!(scene.upstream.requests().remove(2).header("cookie"), "a=b");
    let unknown = format!("requests/{}", "0".repeat(32));
    is_refused(&scene.proxy, &unknown, &confirmed, 404, "not_found");
}

#[test]
fn the_policy_of_the_configuration_decides_what_may_be_sent() {
    for (policy, safe, unsafe_one) in [
        (ReplayPolicy::Ask, 202, 202),
        (ReplayPolicy::Safe, 202, 403),
        (ReplayPolicy::Off, 403, 403),
    ] {
        let scene = inspected_before(Upstream::start(), |config| config.inspect.replay = policy);
        scene.passes(get("/safe"));
        let path = newest(&scene.proxy, 1);
        let confirmed = json!({"confirm": true});
        let answer = replay(&scene.proxy, &path, &confirmed);
        answer.about(policy).assert_status(safe);
        let edit = json!({"confirm": true, "edit": {"method": "DELETE"}});
        let answer = replay(&scene.proxy, &path, &edit);
        answer.about(policy).assert_status(unsafe_one);
        if unsafe_one == 403 {
            assert_error(&answer, 403, "replay_off");
        }
    }
}

#[test]
fn a_replay_needs_no_caller_token_and_obeys_methods_and_routes() {
    let scene = inspected_before(Upstream::start(), |config| {
        config.access.token = Some(CallerToken::new(b"0123456789abcdef"));
        config.methods = Methods::Only(vec![http::Method::GET]);
    });
    let token = "X-Apig-Proxy-Token: 0123456789abcdef";
    scene.passes(request("GET /v1", token, ""));
    let path = newest(&scene.proxy, 1);
    sent(&replay(&scene.proxy, &path, &json!({})));
    let again = ended(&scene.proxy, "is:replay", 1).remove(0);
    assert_eq!(again["status"], 200);
    let delete = json!({"confirm": true, "edit": {"method": "DELETE"}});
    sent(&replay(&scene.proxy, &path, &delete));
    let refused = ended(&scene.proxy, "is:replay+method:DELETE", 1).remove(0);
    let expected = json!({"status": 405, "code": "PROXY.method_not_allowed"});
    assert_has(&refused, &expected);
    assert_eq!(scene.upstream.requests().len(), 2);
    // While paused, the replay would not be recorded.
    order(&scene.proxy, "pause");
    is_refused(&scene.proxy, &path, &json!({}), 409, "paused");
}
