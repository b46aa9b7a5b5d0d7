//! The inspector at the admin listener: who may read it, what it shows, and what it replays.

mod access;
mod feed;
mod kept;
mod replay;

use apig_proxy::config::Config;
use serde_json::Value;

use crate::support::{Answer, Proxy, Scene, Upstream, request, wait_until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const AUTHORIZED: &str = "Authorization: Bearer 0123456789abcdef0123456789abcdef";

/// A proxy with an inspector, before an upstream that answers everything with 200.
fn inspected() -> Scene {
    inspected_before(Upstream::start(), |_| {})
}

fn inspected_before(upstream: Upstream, change: impl FnOnce(&mut Config)) -> Scene {
    Scene::with(upstream, |config| {
        config.inspect.enabled = true;
        config.inspect.token = Some(TOKEN.to_owned().into());
        change(config);
    })
}

/// The answer of the API to this method and path below `/inspect/v1/`, with the token.
fn ask(proxy: &Proxy, method: &str, path: &str, body: &str) -> Answer {
    let line = format!("{method} /inspect/v1/{path}");
    proxy
        .admin()
        .send(request(&line, AUTHORIZED, body))
        .answer()
}

/// The JSON at a path below `/inspect/v1/`.
#[track_caller]
fn read(proxy: &Proxy, path: &str) -> Value {
    let answer = ask(proxy, "GET", path, "");
    answer.assert_header(200, "content-type", "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Sends a POST without a body, which must succeed.
#[track_caller]
fn order(proxy: &Proxy, path: &str) {
    ask(proxy, "POST", path, "").assert_status(204);
}

/// Waits until so many requests have ended, and returns them with the newest first.
fn ended(proxy: &Proxy, filter: &str, count: usize) -> Vec<Value> {
    let list = || read(proxy, &format!("requests?filter=-is:open+{filter}"))["requests"].take();
    wait_until("the requests have ended", || {
        list().as_array().unwrap().len() == count
    });
    list().as_array().unwrap().clone()
}

/// Checks that an object has these fields.
#[track_caller]
fn assert_has(object: &Value, fields: &Value) {
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(object[name], *value, "{name}");
    }
}

/// Checks an error of the API.
#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let found = (answer.status, body["error"]["code"].as_str());
    assert_eq!(found, (status, Some(code)), "{}", answer.text());
    assert!(!body["error"]["message"].as_str().unwrap().is_empty());
}
