//! Where the secret key must not be seen: logs at any level, answers, the command line.

use crate::gateway::gateway;
use crate::program::{Place, Running, exchange};

const SECRET: &str = "MARKERsecretMARKERsecretMARKERsecretMARK";
const TOKEN: &str = "MARKERtoken";

fn post(content_type: &str, length: usize, body: &str) -> String {
    format!(
        "POST /v1?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn the_secret_is_seen_nowhere_at_the_most_talkative_level() {
    // A gateway that refuses a signature echoes what was signed, the token too.
    let cases = [
        ("text", SECRET, Some(TOKEN), "200"),
        ("json", SECRET, Some(TOKEN), "200"),
        ("text", "another", Some(TOKEN), "401"),
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
        if status == "401" {
            assert!(answers.contains("x-security-token:***"), "{answers}");
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

#[test]
fn the_password_of_the_network_s_proxy_is_seen_nowhere() {
    let place = Place::new();
    place.file("profile", &format!("[basic]\nak=AK\nsk={SECRET}\n"));
    place.file(
        "apig-proxy.toml",
        "upstream = \"https://gateway.invalid\"\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[credentials]\nfile = \"profile\"\n[log]\nlevel = \"trace\"\n",
    );
    let proxy = [("HTTPS_PROXY", "http://user:MARKER@127.0.0.1:9")];
    let mut running = Running::start(place.command(&[], &proxy));
    let address = running.address();
    let answer = exchange(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let (code, said) = running.stop();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("upstream_unreachable"), "{said}");
    assert!(!(said + &answer).contains("MARKER"));
    let (code, said, err) = place.run(&["check", "upstream"], &proxy);
    assert_eq!(code, 1, "{said}{err}");
    assert!(said.contains("HTTPS_PROXY"), "{said}");
    assert!(!(said + &err).contains("MARKER"));
}
