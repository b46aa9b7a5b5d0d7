//! Where the secret key must not be seen: logs at any level, answers, the command line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use apig_proxy::credentials::Credentials;
use apig_proxy::emulator::Emulator;

use crate::program::{Place, Running, exchange};

const SECRET: &str = "MARKERsecretMARKERsecretMARKERsecretMARK";
const TOKEN: &str = "MARKERtoken";

/// A gateway that takes the access key with this secret and this token.
fn gateway(place: &Place, secret: &str, token: Option<&str>) -> SocketAddr {
    let key = Credentials {
        access_key: "AKTEST0000000000TEST".to_owned(),
        secret_key: secret.into(),
        security_token: token.map(Into::into),
    };
    let emulator = Emulator::bind(
        "127.0.0.1:0".parse().unwrap(),
        &[key],
        Arc::new(apig_proxy::clock::unix_seconds),
    )
    .unwrap();
    let address = emulator.address();
    place.file("ca.pem", &emulator.root_pem());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(emulator.serve(std::future::pending()))
            .unwrap();
    });
    address
}

fn post(content_type: &str, length: usize, body: &str) -> String {
    format!(
        "POST /v1?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn the_secret_is_seen_nowhere_at_the_most_talkative_level() {
    // A gateway that refuses a signature echoes what was signed, so there is no token in that case.
    let cases = [
        ("text", SECRET, Some(TOKEN), "200"),
        ("json", SECRET, Some(TOKEN), "200"),
        ("text", "another", None, "401"),
    ];
    for (format, secret_of_gateway, token, status) in cases {
        let place = Place::new();
        let gateway = gateway(&place, secret_of_gateway, token);
        let token = token.map_or_else(String::new, |token| format!("security_token={token}\n"));
        place.file(
            "profile",
            &format!("[basic]\nak=AKTEST0000000000TEST\nsk={SECRET}\n{token}"),
        );
        let config = format!(
            "upstream = \"https://{gateway}\"\nlisten = \"127.0.0.1:0\"\n[credentials]\nfile = \"profile\"\n[upstream_tls]\nca_file = \"ca.pem\"\n[log]\nlevel = \"trace\"\nformat = \"{format}\"\n"
        );
        place.file("apig-proxy.toml", &config);
        let mut running = Running::start(place.command(&[], &[]));
        let address = running.address();
        let requests = [
            "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: mine\r\n\r\n".to_owned(),
            post("application/json", 2, "{}"),
            post("multipart/form-data; boundary=x", 4, "body"),
        ];
        let mut answers: String = requests
            .iter()
            .map(|request| exchange(address, request))
            .collect();
        assert_eq!(
            answers.matches(&format!("HTTP/1.1 {status} ")).count(),
            3,
            "{answers}"
        );
        for refused in [
            "GET / HTTP/1.1\r\nHost: evil\r\n\r\n",
            "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "BAD / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ] {
            answers.push_str(&exchange(address, refused));
        }
        let command_line =
            std::fs::read_to_string(format!("/proc/{}/cmdline", running.id())).unwrap();
        let (code, said) = running.stop();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("signing"), "the level was not trace: {said}");
        for (what, text) in [
            ("log", &said),
            ("answers", &answers),
            ("command line", &command_line),
        ] {
            assert!(!text.contains("MARKER"), "{what}: {text}");
        }
    }
}
