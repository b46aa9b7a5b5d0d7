//! The inspectors of `demo` and of `gateway`.

use std::fs;
use std::io::BufRead;
use std::net::SocketAddr;

use serde_json::Value;

use crate::program::{Place, Running, SECRET, assert_has, assert_status, exchange};

/// Starts a command that prints the address of an inspector, and reads what it prints up to the line
/// with these words; the page's address is in it or before it.
fn start_with_inspector(place: &Place, arguments: &[&str], words: &str) -> (Running, String) {
    let mut running = Running::start(place.command(arguments, &environment(place)));
    let mut printed = String::new();
    let mut output = running.output();
    while !printed.contains(words) {
        let length = output.read_line(&mut printed).unwrap();
        assert!(length > 0, "it ended: {printed}");
    }
    (running, printed)
}

fn environment(place: &Place) -> [(&str, &str); 2] {
    let runtime = place.path().to_str().unwrap();
    [("XDG_RUNTIME_DIR", runtime), ("TMPDIR", runtime)]
}

/// The address and the token in the address of a page.
fn page(printed: &str) -> (SocketAddr, String) {
    let (before, rest) = printed.split_once("/inspect/#t=").unwrap();
    let address = before.rsplit("http://").next().unwrap().parse().unwrap();
    let token = rest.chars().take_while(char::is_ascii_alphanumeric);
    (address, token.collect())
}

/// Runs `inspect` as the user of the place, who has started what is inspected.
fn inspect(place: &Place, admin: SocketAddr, arguments: &[&str]) -> String {
    let admin = admin.to_string();
    let common = ["inspect", "--admin", &admin];
    let (code, out, err) = place.run(&[&common, arguments].concat(), &environment(place));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

/// The id of the newest request that a filter finds.
fn id(place: &Place, admin: SocketAddr, filter: &str) -> String {
    let list = inspect(place, admin, &["--once", "--json", "--filter", filter]);
    let newest: Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
    newest["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_demo_shows_its_requests_in_an_inspector_until_it_ends() {
    let place = Place::new();
    let arguments = ["demo", "--listen", "127.0.0.1:0"];
    let (demo, printed) = start_with_inspector(&place, &arguments, "Ctrl-C");
    let (admin, token) = page(&printed);
    let hint = format!("apig-proxy inspect --admin {admin}\n");
    assert_has(&printed, &[&hint]);
    let open = exchange(admin, "GET /inspect/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_has(&open, &["HTTP/1.1 200 ", "<html"]);
    let get = "GET /inspect/v1/state HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    assert_status(&exchange(admin, &format!("{get}\r\n")), 401);
    let with_token = format!("{get}authorization: Bearer {token}\r\n\r\n");
    assert_has(&exchange(admin, &with_token), &["\"kind\":\"proxy\""]);
    let list = inspect(&place, admin, &["--once"]);
    // What was answered before is listed at once.
    assert_eq!(list.lines().count(), 4);
    let shown = ["POST    200", "POST    200", "GET     200", "POST    413"];
    for (line, shown) in list.lines().zip(shown) {
        assert_has(line, &[shown, "  /v1/infers/demo"]);
    }
    let refused = inspect(&place, admin, &[&id(&place, admin, "status:413")]);
    let why = "Why\n  code: PROXY.body_too_large\n  meaning: ";
    assert_has(&refused, &[why]);
    let id = id(&place, admin, "method:GET");
    let shown = inspect(&place, admin, &[&id]);
    let canonical = "\nCanonical request\n           GET\n           /v1/infers/demo/\n";
    assert_has(&shown, &["+ x-stage: RELEASE", canonical, "\nTime\n"]);
    // The length reaches the caller, although hyper writes it anew.
    assert!(!shown.contains("- content-length"), "{shown}");
    let again = inspect(&place, admin, &["--replay", &id]);
    assert_has(&again, &[" GET     200 ", "replayed"]);
    demo.stops();
    let left = fs::read_dir(place.path().join("apig-proxy")).unwrap();
    assert_eq!(left.count(), 0, "the token is left");
}

#[test]
fn the_gateway_shows_what_it_verified_and_what_it_refused_and_why() {
    let place = Place::new();
    let listen = ["--listen", "127.0.0.1:0"];
    let arguments = [&["gateway", "--inspect", "--dir", "keys"], &listen[..]].concat();
    let (mut gateway, _) = start_with_inspector(&place, &arguments, "apig-proxy --config");
    let (admin, _) = page(&gateway.line_with("inspector  "));
    let send = || {
        let arguments = [&["--config", "keys/apig-proxy.toml"], &listen[..]].concat();
        let mut proxy = Running::start(place.command(&arguments, &[]));
        let post = "POST /v1/x?token=MARKER&a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
        let answer = exchange(proxy.address(), post);
        proxy.stops();
        answer
    };
    assert_status(&send(), 200);
    let keys = fs::read_to_string(place.path().join("keys/credentials.csv")).unwrap();
    let secret = keys.trim_end().rsplit(',').next().unwrap();
    place.file("keys/credentials.csv", &keys.replace(secret, SECRET));
    assert_status(&send(), 401);
    for (filter, expected) in [
        (
            "status:200",
            [
                "POST /v1/x?token=‹token, 6 bytes, ",
                "           a=1&token=",
            ],
        ),
        (
            "status:401",
            ["Why\n  code: APIG.0301\n  meaning: ", "another secret key"],
        ),
    ] {
        let shown = inspect(&place, admin, &[&id(&place, admin, filter)]);
        assert_has(&shown, &["Canonical request", expected[0], expected[1]]);
        assert!(!shown.contains("MARKER"), "{shown}");
    }
    gateway.stops();
}
