//! A file of callers that changes while the proxy runs, and callers in the log, metrics and inspector.

use std::path::Path;
use std::process::Command;

use apig_proxy::config::Rights;
use apig_proxy::signature::{Signer, UNSIGNED_PAYLOAD};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Signed, Stage};
use crate::support::{Program, Upstream, answer, get, request, wait_until};

/// Runs `apig-proxy caller`; returns what it prints.
fn caller(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_apig-proxy"))
        .env_clear()
        .arg("caller")
        .args(arguments)
        .arg("--file")
        .arg(file)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{out} {err}");
    assert!(!err.contains("apx_"), "{err}");
    out
}

/// What follows a name in the text that `caller new` prints.
fn printed<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .unwrap()
        .trim()
}

#[test]
fn callers_are_added_and_revoked_while_the_proxy_runs_and_the_log_has_only_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callers.toml");
    let first = caller(&file, &["new", "first"]);
    let upstream = Upstream::start();
    let more = format!("[access]\ncallers_file = {file:?}\n[log]\nformat = \"json\"");
    let program = Program::before(&upstream, &more);
    let status = |request: Vec<u8>| program.client().send(request).answer().status;
    let get = |path: &str, fields: &str| status(request(&format!("GET {path}"), fields, ""));
    let bearer = |text: &str| format!("Authorization: Bearer {}", printed(text, "token"));
    let path = format!("{}v1", printed(&first, "path"));
    let (access_key, secret) = (printed(&first, "access key"), printed(&first, "secret key"));
    let mut signed = Signed::by(Signer::new(access_key, &secret.into()), "POST /v1", b"x");
    let mut statuses = vec![get("/v1", ""), get("/v1", &bearer(&first)), get(&path, "")];
    statuses.push(status(signed.bytes()));
    signed.declared = Some(UNSIGNED_PAYLOAD.to_owned());
    statuses.push(status(signed.bytes()));
    assert_eq!(statuses, [401, 200, 200, 200, 200]);
    let second = caller(&file, &["new", "second", "--method", "POST"]);
    wait_until("the second caller is known", || {
        get("/v1", &bearer(&second)) == 403
    });
    assert_eq!(get("/v1", &bearer(&first)), 200);
    caller(&file, &["revoke", "first"]);
    wait_until("the first caller is not known", || {
        get("/v1", &bearer(&first)) == 401
    });
    assert_eq!(get(&path, ""), 401);
    let records = program.records(10);
    let records = records
        .iter()
        .map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<Value> = records.collect();
    let said = |at: usize| (&records[at]["caller"], &records[at]["body_signed"]);
    let first = Value::from("first");
    assert_eq!(said(0).0, &Value::Null);
    assert_eq!([1, 2, 3].map(said), [(&first, &Value::Null); 3]);
    assert_eq!(said(4), (&first, &false.into()));
    assert!(records.iter().any(|record| record["caller"] == "second"));
    for record in &records {
        assert_eq!(record["path"], "/v1");
        assert!(!record.to_string().contains(&path[2..34]), "{record}");
    }
}

#[test]
fn a_caller_whose_exhausted_rate_is_raised_need_not_wait_for_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callers.toml");
    let new = caller(&file, &["new", "ci", "--rate", "1/1h"]);
    let upstream = Upstream::start();
    let program = Program::before(&upstream, &format!("[access]\ncallers_file = {file:?}"));
    let path = format!("{}v1", printed(&new, "path"));
    let status = || program.client().get(&path).status;
    assert_eq!([status(), status()], [200, 429]);
    let callers = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, callers.replace("1/1h", "100/1s")).unwrap();
    wait_until("the new rate holds", || status() == 200);
}

#[test]
fn metrics_name_only_authenticated_callers() {
    let stage = Stage::new(Rights::default());
    let proxy = &stage.proxy;
    proxy.passes(Signed::new(&stage, "GET /", b"").bytes());
    proxy.passes(request("POST /", &stage.bearer(), "x"));
    let mut wrong = Signed::new(&stage, "POST /", b"x");
    wrong.signer = Signer::new(&stage.caller.access_key, &"another".into());
    proxy.exchange(wrong.bytes()).assert_status(401);
    proxy.exchange(get("/")).assert_status(401);
    let metrics = proxy.metrics();
    for labels in [
        "route=/ method=GET code=200 outcome=ok caller=ci",
        "route=/ method=POST code=200 outcome=ok caller=ci",
        "route=/ method=POST code=401 outcome=caller_signature",
        "route=none method=GET code=401 outcome=caller_required",
    ] {
        let count = metrics.value("apig_proxy_requests_total", labels);
        assert_eq!(count, 1.0, "{labels}");
    }
}

#[test]
fn metrics_name_callers_that_declare_the_hash_of_a_body_which_is_not_read() {
    let stage = Stage::new(Rights {
        routes: vec!["/a".to_owned()],
        ..Rights::default()
    });
    let signed = |line| {
        let mut signed = Signed::new(&stage, line, b"x");
        signed.declared = Some(signed.hash().as_str().to_owned());
        String::from_utf8(signed.bytes()).unwrap()
    };
    let answer = stage.proxy.exchange(signed("POST /b"));
    answer.assert_refused(403, "caller_not_allowed");
    // Another body is not the caller's.
    let wrong = signed("POST /a").replace("\r\n\r\nx", "\r\n\r\ny");
    let answer = stage.proxy.exchange(wrong);
    answer.assert_refused(401, "caller_signature");
    stage.proxy.passes(signed("POST /a"));
    let metrics = stage.proxy.metrics();
    for labels in [
        "route=/ method=POST code=403 outcome=caller_not_allowed caller=ci",
        "route=/ method=POST code=401 outcome=caller_signature",
        "route=/ method=POST code=200 outcome=ok caller=ci",
    ] {
        let count = metrics.value("apig_proxy_requests_total", labels);
        assert_eq!(count, 1.0, "{labels}");
    }
}

#[test]
fn the_inspector_names_callers_and_shows_nothing_of_their_credentials() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let upstream = Upstream::replying(|_| {
        let fields = "location: /next\r\nset-cookie: a=1; Path=/\r\n";
        answer("302 Found", fields, "")
    });
    let stage = Stage::before(upstream, Rights::default(), |config| {
        config.inspect.enabled = true;
        config.inspect.token = Some(TOKEN.into());
    });
    stage.proxy.exchange(request("GET /", &stage.bearer(), ""));
    stage
        .proxy
        .exchange(Signed::new(&stage, "POST /", b"x").bytes());
    let answer = stage.proxy.get(&stage.path("/"));
    assert_eq!(answer.header("location"), stage.path("/next"));
    let wrong = format!("/~{}/", "0".repeat(32));
    stage.proxy.get(&wrong).assert_status(401);
    let read = |path: &str| {
        let fields = format!("Authorization: Bearer {TOKEN}");
        let request = request(&format!("GET /inspect/v1/{path}"), &fields, "");
        stage.proxy.admin().send(request).answer().text()
    };
    wait_until("all are recorded", || {
        read("requests").matches("\"done\"").count() == 4
    });
    let list: Value = serde_json::from_str(&read("requests")).unwrap();
    // Each worker reports its requests in batches, so their order is not that of the calls.
    let requests = list["requests"].as_array().unwrap().iter();
    let mut callers: Vec<_> = requests.filter_map(|row| row["caller"].as_str()).collect();
    callers.sort_unstable();
    assert_eq!(callers, ["ci", "ci", "ci", "tcp"]);
    let all = read("har");
    assert!(all.contains("302"), "{all}");
    let issued = &stage.caller;
    let secrets = [&issued.secret_key, &issued.token, &issued.capability];
    let secrets = secrets.map(ExposeSecret::expose_secret);
    for part in secrets.into_iter().chain([&*issued.access_key, &*wrong]) {
        assert!(!all.contains(part), "{part} in {all}");
    }
}
