//! The inspectors of `demo` and of `gateway`.

use std::fs;
use std::io::BufRead;
use std::net::SocketAddr;

use serde_json::Value;

use crate::program::{Place, Running, assert_has, assert_status, exchange, wait_until};

/// Starts a command that prints the address of an inspector, and reads what it prints up to the line
/// with these words; the page's address is in it or before it.
fn start_with_inspector(place: &Place, arguments: &[&str], words: &str) -> (Running, String) {
    let runtime = place.path().to_str().unwrap();
    let command = place.command(
        arguments,
        &[("XDG_RUNTIME_DIR", runtime), ("TMPDIR", runtime)],
    );
    let mut running = Running::start(command);
    let mut printed = String::new();
    let mut output = running.output();
    while !printed.contains(words) {
        assert!(
            output.read_line(&mut printed).unwrap() > 0,
            "it ended: {printed}"
        );
    }
    (running, printed)
}

/// The address and the token in the address of a page.
fn page(printed: &str) -> (SocketAddr, String) {
    let (before, rest) = printed.split_once("/inspect/#t=").unwrap();
    let address = before.rsplit("http://").next().unwrap().parse().unwrap();
    let token = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    (address, token)
}

/// Runs `inspect` as the user of the place, who has started what is inspected.
fn inspect(place: &Place, admin: SocketAddr, arguments: &[&str]) -> String {
    let admin = admin.to_string();
    let runtime = place.path().to_str().unwrap();
    let common = ["inspect", "--admin", &admin];
    let (code, out, err) = place.run(
        &[&common, arguments].concat(),
        &[("XDG_RUNTIME_DIR", runtime)],
    );
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

#[test]
fn the_demo_shows_its_requests_in_an_inspector_until_it_ends() {
    let place = Place::new();
    let arguments = ["demo", "--listen", "127.0.0.1:0"];
    let (demo, printed) = start_with_inspector(&place, &arguments, "Ctrl-C");
    let (admin, token) = page(&printed);
    assert_has(
        &printed,
        &[&format!("apig-proxy inspect --admin {admin}\n")],
    );
    let open = exchange(admin, "GET /inspect/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_has(&open, &["HTTP/1.1 200 ", "<html"]);
    let get = "GET /inspect/v1/state HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    assert_status(&exchange(admin, &format!("{get}\r\n")), 401);
    let state = exchange(
        admin,
        &format!("{get}authorization: Bearer {token}\r\n\r\n"),
    );
    assert_has(&state, &["HTTP/1.1 200 ", "\"kind\":\"proxy\""]);
    wait_until("four requests", || {
        inspect(&place, admin, &["--once"]).lines().count() == 4
    });
    let list = inspect(&place, admin, &["--once"]);
    for (line, shown) in list.lines().zip([
        " POST    200 ",
        " POST    200 ",
        " GET     200 ",
        " POST    413 ",
    ]) {
        assert_has(line, &[shown, "  /v1/infers/demo"]);
    }
    let refused = inspect(&place, admin, &["--once", "--filter", "status:413"]);
    let id = refused.split(' ').nth(2).unwrap();
    assert_has(
        &inspect(&place, admin, &[id]),
        &["Why\n  code: PROXY.body_too_large\n  meaning: "],
    );
    let sent = inspect(
        &place,
        admin,
        &["--once", "--json", "--filter", "method:GET"],
    );
    let id: Value = serde_json::from_str(&sent).unwrap();
    let shown = inspect(&place, admin, &[id["id"].as_str().unwrap()]);
    assert_has(
        &shown,
        &[
            "+ x-stage: RELEASE",
            "\nCanonical request\n           GET\n           /v1/infers/demo/\n",
            "\nTime\n",
        ],
    );
    // The length reaches the caller, although hyper writes it anew.
    assert!(!shown.contains("- content-length"), "{shown}");
    let again = inspect(&place, admin, &["--replay", id["id"].as_str().unwrap()]);
    assert_has(&again, &[" GET     200 ", "replayed"]);
    demo.stops();
    let left = fs::read_dir(place.path().join("apig-proxy"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the token is left");
}

#[test]
fn the_gateway_shows_what_it_verified_and_what_it_refused_and_why() {
    let place = Place::new();
    let arguments = [
        "gateway",
        "--inspect",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        "keys",
    ];
    let (mut gateway, printed) = start_with_inspector(&place, &arguments, "apig-proxy --config");
    let (admin, _) = page(&gateway.line_with("inspector  "));
    let send = |secret: &[(&str, &str)]| {
        let serve = [
            "--config",
            "keys/apig-proxy.toml",
            "--listen",
            "127.0.0.1:0",
        ];
        let mut proxy = Running::start(place.command(&serve, secret));
        let get = "POST /v1/x?token=MARKER&a=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
        let answer = exchange(proxy.address(), get);
        proxy.stops();
        answer
    };
    assert_status(&send(&[]), 200);
    let keys = fs::read_to_string(place.path().join("keys/credentials.csv")).unwrap();
    let row: Vec<&str> = keys.lines().nth(1).unwrap().split(',').collect();
    let csv = keys.replace(row[2], "SKTEST0123456789012345678901234567890123");
    place.file("keys/credentials.csv", &csv);
    assert_status(&send(&[]), 401);
    assert!(printed.contains("gateway on https://"), "{printed}");
    wait_until("two requests", || {
        inspect(&place, admin, &["--once"]).lines().count() >= 2
    });
    for (filter, expected) in [
        (
            "status:200",
            &[
                "POST /v1/x?token=‹token, 6 bytes, ",
                "Canonical request",
                "           a=1&token=",
            ][..],
        ),
        (
            "status:401",
            &[
                "Why\n  code: APIG.0301\n  meaning: ",
                "another secret key",
                "Canonical request",
            ],
        ),
    ] {
        let listed = inspect(&place, admin, &["--once", "--json", "--filter", filter]);
        let listed: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
        let shown = inspect(&place, admin, &[listed["id"].as_str().unwrap()]);
        assert_has(&shown, expected);
        assert!(!shown.contains("MARKER"), "{shown}");
    }
    gateway.stops();
}
