//! A running proxy with a file of callers: the log, the metrics, and callers that come and go.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use apig_proxy::config::Rights;
use apig_proxy::signature::{Signer, UNSIGNED_PAYLOAD};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Signed, Stage};
use crate::support::{Program, Upstream, answer, request, wait_until};

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
fn callers_come_and_go_while_the_proxy_runs_and_the_log_has_their_names_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callers.toml");
    let first = caller(&file, &["new", "first"]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let upstream = Upstream::start();
    let more = format!("[access]\ncallers_file = {file:?}\n[log]\nformat = \"json\"");
    let program = Program::before(&upstream, &more);
    let get = |path: &str, fields: &str| {
        let answer = program
            .client()
            .send(request(&format!("GET {path}"), fields, ""))
            .answer();
        answer.status
    };
    let bearer = |text: &str| format!("Authorization: Bearer {}", printed(text, "token"));
    let path = printed(&first, "path");
    assert_eq!(get("/v1", ""), 401);
    assert_eq!(get("/v1", &bearer(&first)), 200);
    assert_eq!(get(&format!("{path}v1"), ""), 200);
    let signer = Signer::new(
        printed(&first, "access key"),
        &printed(&first, "secret key").into(),
    );
    for declared in [None, Some(UNSIGNED_PAYLOAD)] {
        let mut signed = Signed::by(signer.clone(), "POST /v1", b"x");
        signed.declared = declared.map(str::to_owned);
        program
            .client()
            .send(signed.bytes())
            .answer()
            .assert_status(200);
    }
    let second = caller(&file, &["new", "second", "--method", "POST"]);
    wait_until("the second caller is known", || {
        get("/v1", &bearer(&second)) == 403
    });
    assert_eq!(get("/v1", &bearer(&first)), 200);
    caller(&file, &["revoke", "first"]);
    wait_until("the first caller is not known", || {
        get("/v1", &bearer(&first)) == 401
    });
    assert_eq!(get(&format!("{path}v1"), ""), 401);
    let records = program.records(10);
    let records: Vec<Value> = records
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records[0]["caller"], Value::Null);
    assert_eq!(
        (&records[1]["caller"], &records[2]["caller"]),
        (&"first".into(), &"first".into())
    );
    let body_signed = |at: usize| records[at]["body_signed"].clone();
    assert_eq!(
        [2, 3, 4].map(body_signed),
        [Value::Null, Value::Null, false.into()]
    );
    assert!(records.iter().any(|record| record["caller"] == "second"));
    for record in &records {
        assert_eq!(record["path"], "/v1");
        assert!(
            !record.to_string().contains(path.trim_matches(['/', '~'])),
            "{record}"
        );
    }
}

#[test]
fn metrics_name_callers_once_they_are_proven() {
    let stage = Stage::new(Rights::default());
    stage
        .proxy
        .passes(Signed::new(&stage, "GET /", b"").bytes());
    stage.proxy.passes(request("POST /", &stage.bearer(), "x"));
    let mut wrong = Signed::new(&stage, "POST /", b"x");
    wrong.signer = Signer::new(&stage.caller.access_key, &"another".into());
    stage.proxy.exchange(wrong.bytes()).assert_status(401);
    stage
        .proxy
        .exchange(request("GET /", "", ""))
        .assert_status(401);
    let metrics = stage.proxy.metrics();
    let name = "apig_proxy_requests_total";
    for (labels, count) in [
        ("route=/ method=GET code=200 outcome=ok caller=ci", 1.0),
        ("route=/ method=POST code=200 outcome=ok caller=ci", 1.0),
        ("route=/ method=POST code=401 outcome=caller_signature", 1.0),
        (
            "route=none method=GET code=401 outcome=caller_required",
            1.0,
        ),
    ] {
        assert!(
            (metrics.value(name, labels) - count).abs() < 0.1,
            "{labels}"
        );
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
    // Each worker tells of its requests in its own time, so their order is not that of the calls.
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
