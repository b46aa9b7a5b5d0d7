//! Recorded requests in the API, and pausing and clearing.

use serde_json::json;

use super::{ask, assert_error, assert_has, ended, inspected, inspected_before, order, read};
use crate::support::{ANSWERED, Upstream, get, post, wait_until};

#[test]
fn each_request_is_listed_with_its_bodies_and_copies() {
    let scene = inspected();
    scene.passes(get("/first?a=1"));
    scene.passes(post("application/json", b"{\"a\": 1}"));
    let requests = ended(&scene.proxy, "", 2);
    let sent =
        json!({"method": "POST", "status": 200, "outcome": "ok", "bytes_in": 8, "bytes_out": 11});
    assert_has(&requests[0], &sent);
    assert_has(&requests[1], &json!({"method": "GET", "path": "/first"}));
    let id = &requests[0]["id"];
    let path = format!("requests/{}", id.as_str().unwrap());
    let detail = read(&scene.proxy, &path);
    assert_eq!(detail["received"]["line"], "POST /v1 HTTP/1.1");
    assert_eq!(detail["bodies"]["out"]["text"], ANSWERED);
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 1);
    let body = ask(&scene.proxy, "GET", &format!("{path}/body/in"), "");
    body.assert_header(200, "content-type", "application/octet-stream");
    assert!(body.header("content-disposition").starts_with("attachment"));
    assert_eq!(body.text(), "{\"a\": 1}");
    for (kind, part) in [
        ("curl", "curl"),
        ("python", "requests"),
        ("raw", "POST /v1"),
    ] {
        let copy = ask(&scene.proxy, "GET", &format!("{path}/copy/{kind}"), "");
        copy.assert_header(200, "content-type", "text/plain; charset=utf-8");
        copy.assert_says(part);
    }
    let archive = read(&scene.proxy, "har?filter=method:POST");
    assert_eq!(archive["log"]["entries"].as_array().unwrap().len(), 1);
    let listed = read(&scene.proxy, "requests?limit=1");
    assert_eq!(listed["requests"][0]["id"], *id);
    let seq = listed["seq"].as_u64().unwrap();
    let newer = read(&scene.proxy, &format!("requests?after={seq}"));
    assert_eq!(newer["requests"], json!([]));
    let unknown = format!("requests/{}", "0".repeat(32));
    assert_error(&ask(&scene.proxy, "GET", &unknown, ""), 404, "not_found");
}

#[test]
fn the_state_shows_the_key_the_upstreams_and_the_memory() {
    let scene = inspected_before(Upstream::start(), |config| config.inspect.requests = 2);
    for path in ["/1", "/2", "/3"] {
        scene.passes(get(path));
    }
    // Each worker reports its requests in batches.
    let state = || read(&scene.proxy, "state");
    wait_until("a request has made room", || state()["evicted"] == json!(1));
    let missed = |after| read(&scene.proxy, &format!("requests?after={after}"))["missed"].take();
    assert_eq!([missed(1), missed(999)], [json!(1), json!(0)]);
    let state = state();
    // 32 MiB less 5 MiB for what is in transit and a fifth for the allocator.
    let memory = (27 << 20) - (32 << 20) / 5;
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "is_recording": true, "kept": 2, "evicted": 1, "dropped": 0,
        "requests_limit": 2, "memory_limit": memory, "bodies": 64 << 10, "replay": "ask", "kind": "proxy",
        "proxy": format!("http://{}", scene.proxy.address),
    });
    assert_has(&state, &expected);
    assert!(state["memory"].as_u64().unwrap() > 0);
    let key = json!({"kind": "key", "is_good": true, "is_locked": false});
    assert_has(&state["credentials"][0], &key);
    assert_eq!(state["upstreams"][0]["clock_offset_s"], 0);
    let metrics = scene.proxy.metrics();
    assert_eq!(metrics.value("apig_proxy_inspect_dropped_total", ""), 0.0);
}

#[test]
fn while_paused_nothing_is_recorded_and_clearing_forgets_everything() {
    let scene = inspected();
    scene.passes(get("/before"));
    ended(&scene.proxy, "", 1);
    order(&scene.proxy, "pause");
    assert_eq!(read(&scene.proxy, "state")["is_recording"], json!(false));
    scene.passes(get("/paused"));
    order(&scene.proxy, "resume");
    scene.passes(get("/after"));
    let kept = ended(&scene.proxy, "", 2);
    assert_eq!([&kept[0]["path"], &kept[1]["path"]], ["/after", "/before"]);
    order(&scene.proxy, "clear");
    assert_eq!(read(&scene.proxy, "requests")["requests"], json!([]));
}

#[test]
fn no_response_of_the_inspector_contains_a_secret_of_proxy_or_caller() {
    let scene = inspected();
    scene.passes(
        "POST /v1?token=MARKER HTTP/1.1\r\nHost: localhost\r\nCookie: a=MARKER\r\nAuthorization: Bearer MARKER\r\n\
         X-Api-Key: MARKER\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"password\":\"MARKER\"}",
    );
    let request = ended(&scene.proxy, "", 1).remove(0);
    let signed = scene.upstream.only_request();
    let signature = signed.header("authorization").rsplit('=').next().unwrap();
    let path = format!("requests/{}", request["id"].as_str().unwrap());
    let all = "state requests har ID ID/body/in ID/copy/curl ID/copy/python ID/copy/raw";
    for path in all.replace("ID", &path).split(' ') {
        let answer = ask(&scene.proxy, "GET", path, "");
        answer.about(path).assert_status(200);
        answer.assert_hides("MARKER");
        answer.assert_hides(signature);
    }
}
