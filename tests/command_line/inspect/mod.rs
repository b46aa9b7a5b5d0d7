//! `apig-proxy inspect`, against an API that answers as each test wants.

mod demo_and_gateway;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::program::{Place, assert_has, finish, free_address, kill_after, mode};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The connections that an API takes at most, so that every thread ends.
const MAX_CONNECTIONS: usize = 100;

/// An inspector's API whose answers are a function of the request line and the body.
struct Api {
    address: SocketAddr,
    /// The request lines, and the bodies that were sent.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    fn start(answer: impl Fn(&str, &str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for _ in 0..MAX_CONNECTIONS {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                    rest.split_once("\r\n").unwrap().0.parse().unwrap()
                });
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                let line = head.lines().next().unwrap_or_default();
                let asked = format!("{line} {body}").trim_end().to_owned();
                noted.lock().unwrap().push(asked);
                let answer = match head.contains(&format!("authorization: Bearer {TOKEN}\r\n")) {
                    true => answer(line, &body),
                    false => error(401, "no_token", "send the token"),
                };
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { address, asked }
    }

    /// Runs `inspect` with the token of this API: exit code, standard output, standard error.
    fn inspect(&self, arguments: &[&str]) -> (i32, String, String) {
        let place = Place::new();
        place.file("token", TOKEN);
        self.inspect_at(&place, arguments)
    }

    fn inspect_at(&self, place: &Place, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.command(place, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command)
    }

    fn command(&self, place: &Place, arguments: &[&str]) -> Command {
        let admin = self.address.to_string();
        let common = ["inspect", "--admin", &admin, "--token-file", "token"];
        place.command(&[&common, arguments].concat(), &[])
    }

    /// Runs `inspect`, which succeeds: what it prints.
    #[track_caller]
    fn shows(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.inspect(arguments);
        assert_eq!((code, &*err), (0, ""), "{out}");
        out
    }

    /// Runs `inspect`, which fails with these words.
    #[track_caller]
    fn fails(&self, arguments: &[&str], expected: &str) {
        let (code, out, err) = self.inspect(arguments);
        assert_eq!((code, &*out), (1, ""), "{err}");
        assert_has(&err, &[expected]);
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().join("\n")
    }
}

fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn error(status: u16, code: &str, message: &str) -> String {
    let error =
        json!({"error": {"code": code, "message": message, "hint": "see the \u{1b}[1mmanual"}});
    answer(status, &error.to_string())
}

/// A request that ended, whose id begins with these digits.
fn summary(id: &str, path: &str) -> Value {
    json!({"seq": 1, "id": format!("{id:0<32}"), "number": 1, "time": 0, "method": "GET", "path": path,
        "status": 200, "state": "done", "end": "whole", "duration_us": 1_500, "bytes_out": 10,
        "attempts": 1, "has_hint": false, "has_gaps": false})
}

fn list(seq: u64, requests: &[Value]) -> String {
    answer(200, &json!({"seq": seq, "requests": requests}).to_string())
}

#[test]
fn the_list_is_in_order_filtered_by_the_proxy_and_without_colours_or_control_characters() {
    let api = Api::start(|_, _| list(9, &[summary("bb", "/new\u{1b}[2J"), summary("aa", "/old")]));
    let out = api.shows(&["--once", "--filter", "status:4xx &=/"]);
    let line = |id: &str, path: &str| {
        format!("00:00:00.0  {id}000000 GET     200        1.5 ms       10 B  {path}\n")
    };
    assert_eq!(out, line("aa", "/old") + &line("bb", "/new\\u{1b}[2J"));
    let query = "filter=status%3A4xx%20%26%3D%2F&after=0&limit=10000";
    assert_has(&api.asked(), &[query]);
    let out = api.shows(&["--once", "--json"]);
    let path = |line| serde_json::from_str::<Value>(line).unwrap()["path"].take();
    let paths: Vec<Value> = out.lines().map(path).collect();
    assert_eq!(paths, ["/old", "/new\u{1b}[2J"]);
    assert!(!out.contains('\u{1b}'), "{out}");
}

#[test]
fn the_live_list_follows_over_a_break_and_over_a_restart() {
    let number = Mutex::new(0);
    let api = Api::start(move |line, _| {
        let mut number = number.lock().unwrap();
        *number += 1;
        match (*number, line.contains("after=0&")) {
            (1, _) => list(5, &[summary("aa", "/kept")]),
            (2, _) => {
                let next = [summary("bb", "/next")];
                answer(
                    200,
                    &json!({"seq": 7, "missed": 3, "requests": next}).to_string(),
                )
            }
            (3, _) => error(503, "busy", "too many readers"),
            // It does not answer, and is then started anew: its sequence is behind.
            (4, _) => String::new(),
            (_, false) => list(2, &[]),
            (_, true) => list(2, &[summary("cc", "/after")]),
        }
    });
    let place = Place::new();
    place.file("token", TOKEN);
    let mut command = api.command(&place, &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _limit = kill_after(std::time::Duration::from_secs(60), child.id());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.take(3).map(Result::unwrap).collect();
    child.kill().unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_has(&said, &["3 more requests left before", "trying again"]);
    for (line, path) in lines.iter().zip(["/kept", "/next", "/after"]) {
        assert!(line.ends_with(path), "{lines:?}");
    }
    assert_eq!(lines.len(), 3);
    assert_has(&api.asked(), &["&after=5&", "&after=7&"]);
}

#[test]
fn one_request_is_named_by_the_beginning_of_its_id() {
    let api = Api::start(|line, _| match line {
        _ if line.contains("id%3A3f&") => list(1, &[summary("3f", "/x")]),
        _ if line.contains("id%3Aab&") => list(1, &[summary("ab1", "/x"), summary("ab2", "/x")]),
        _ if line.contains("requests?") => list(1, &[]),
        _ => answer(
            200,
            &json!({"summary": summary("3f", "/x"), "received": {"line": "GET /x HTTP/1.1"},
            "why": {"hint": "\u{202e}", "code": "APIG.0101"}})
            .to_string(),
        ),
    });
    let out = api.shows(&["3F"]);
    let why = "\nWhy\n  code: APIG.0101\n  hint: \\u{202e}\n";
    assert_has(&out, &["GET /x HTTP/1.1\n200 ", why]);
    let said: Value = serde_json::from_str(&api.shows(&["3f", "--json"])).unwrap();
    assert_eq!(said["received"]["line"], "GET /x HTTP/1.1");
    api.fails(
        &["ab"],
        "several ids begin with `ab`\nhint: give more of its digits",
    );
    api.fails(
        &["00"],
        "no request is kept whose id begins with `00`\nhint: see the list",
    );
    api.fails(&["x/../y"], "an id has hexadecimal digits only\nhint: ");
}

#[test]
fn a_replay_that_may_change_something_needs_a_yes() {
    let api = Api::start(|line, body| match line {
        _ if line.contains("/replay ") && body.contains("true") => answer(202, "{\"id\":\"bb\"}"),
        _ if line.contains("/replay ") => error(409, "needs_confirmation", "confirm"),
        _ if line.contains("id%3Abb") => list(2, &[summary("bb", "/again")]),
        _ if line.contains("requests?") => list(1, &[summary("aa", "/x")]),
        _ => answer(
            200,
            "{\"summary\":{},\"received\":{\"line\":\"POST /x HTTP/1.1\"}}",
        ),
    });
    let refused =
        "`POST /x HTTP/1.1` may change something at the gateway, so it is not sent again unasked";
    api.fails(
        &["--replay", "aa"],
        &format!("{refused}\nhint: give `--yes`"),
    );
    let confirmed = "{\"confirm\":true}";
    assert!(!api.asked().contains(confirmed));
    let out = api.shows(&["--replay", "aa", "--yes"]);
    assert!(out.ends_with("  /again\n"), "{out}");
    assert_has(&api.asked(), &[confirmed]);
}

#[test]
fn the_archive_goes_to_a_private_file_or_to_standard_output_and_clear_forgets() {
    let har = "{\"log\":{}}";
    let api = Api::start(move |line, _| match line {
        _ if line.contains("/har?filter=is%3Aerror ") => answer(200, har),
        _ if line.starts_with("POST /inspect/v1/clear ") => answer(204, ""),
        _ if line.contains("/requests?filter=&") || line.contains("/requests?filter=is%3A") => {
            list(1, &[])
        }
        _ => error(404, "not_found", "no such path"),
    });
    let place = Place::new();
    place.file("token", TOKEN);
    let shown = api.inspect_at(&place, &["--har", "-", "--filter", "is:error"]);
    assert_eq!(shown, (0, har.to_owned(), String::new()));
    let (code, out, _) = api.inspect_at(&place, &["--har", "x.har", "--filter", "is:error"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let file = place.path().join("x.har");
    assert_eq!(fs::read_to_string(&file).unwrap(), har);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(api.shows(&["--clear"]), "");
    let nowhere = ["--har", "none/x.har", "--filter", "is:error"];
    api.fails(&nowhere, "\nhint: choose another file with `--har`");
    api.fails(
        &["--har", "-"],
        "no such path\nhint: see the \\u{1b}[1mmanual\n",
    );
}

#[test]
fn what_is_in_the_way_is_named_and_no_token_is_shown() {
    let inspect = |answer: &'static str, token: &str| {
        let api = Api::start(move |_, _| answer.to_owned());
        let place = Place::new();
        place.file("token", token);
        let (code, out, err) = api.inspect_at(&place, &["--once"]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(token.is_empty() || !err.contains(token), "{err}");
        err
    };
    let no_inspector = "is not the inspector of a proxy\nhint: ";
    let refused = "does not accept the token in token\nhint: ";
    let off = "is off\nhint: start the proxy with `--inspect`";
    for (answer, token, expected) in [
        ("HTTP/1.1 404 x\r\n\r\nexpected /livez", TOKEN, off),
        ("HTTP/1.1 200 x\r\n\r\n<html>", TOKEN, no_inspector),
        ("HTTP/1.1 200 x\r\n\r\n{}", TOKEN, no_inspector),
        ("HTTP/1.1 500 x\r\n\r\n{}", TOKEN, no_inspector),
        ("SSH-2.0-x\r\n", TOKEN, no_inspector),
        ("", "another-token", refused),
        ("", "two\nlines", refused),
        (
            "",
            "",
            "the inspector's token is missing: token is empty\nhint: ",
        ),
    ] {
        assert_has(&inspect(answer, token), &[expected]);
    }
    let other = Api::start(|_, _| answer(200, "{}"));
    other.fails(&["--clear"], no_inspector);
    assert!(!other.asked().contains("POST"));
    let admin = free_address().to_string();
    let nobody = ["inspect", "--admin", &admin, "--token-file", "token"];
    let expected = [
        "no proxy answers at ",
        "\nhint: start the proxy with `--inspect`",
    ];
    Place::new().fails(&nobody, &[], 1, &expected);
    for arguments in [
        &["--once", "--clear"][..],
        &["ab", "--har", "-"],
        &["--yes"],
    ] {
        let arguments = [&["inspect"], arguments].concat();
        Place::new().fails(&arguments, &[], 64, &[]);
    }
}
