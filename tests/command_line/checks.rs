//! `check upstream`: each step of the way, and what to do when one fails.

use std::io::{Read, Write};
use std::thread;

use crate::gateway::gateway;
use crate::program::{KEY, NOBODY, Place, SECRET, assert_has};

/// What the check says of this upstream, and whether it is content.
fn checked(place: &Place, upstream: &str, arguments: &[&str]) -> (bool, String) {
    let text = format!("upstream = \"{upstream}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n");
    place.file("apig-proxy.toml", &text);
    let arguments = [&["check", "upstream"], arguments].concat();
    let (code, out, err) = place.run(&arguments, &KEY);
    assert!(code == 0 || code == 1, "{code} {err}");
    (code == 0, out)
}

/// The results of the steps, in their order.
fn results(said: &str) -> Vec<(&str, &str)> {
    let steps = said.lines().filter(|line| line.starts_with("  "));
    steps
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect()
}

#[test]
fn a_gateway_that_is_in_order_passes_every_step() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    let (is_well, said) = checked(&place, &format!("https://{address}"), &[]);
    assert!(is_well, "{said}");
    let steps = ["dns", "connect", "tls", "clock", "request"];
    assert_eq!(results(&said), steps.map(|step| (step, "ok")), "{said}");
}

#[test]
fn a_gateway_accepts_the_signatures_of_every_algorithm_at_any_route() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    let v11 = "algorithm = \"V11-HMAC-SHA256\"\nregion = \"cn-north-4\"\nservice = \"iotdm\"\n";
    for (signing, of_route) in [
        ("algorithm = \"SDK-HMAC-SM3\"\n", v11),
        (v11, "algorithm = \"SDK-HMAC-SM3\"\n"),
    ] {
        let config = format!(
            "upstream = \"https://{address}\"\n[signing]\n{signing}[upstream_tls]\nca_file = \"ca.pem\"\n\
             [[route]]\npath = \"/a\"\nupstream = \"https://{address}\"\n{of_route}"
        );
        place.file("apig-proxy.toml", &config);
        let (code, said, err) = place.run(&["check", "upstream"], &KEY);
        assert_eq!(code, 0, "{said}{err}");
        let accepted = said.matches("200, the gateway accepted the signature");
        assert_eq!(accepted.count(), 2, "{said}");
    }
    // Only routes need what keys are derived for, and each may have its own.
    let (algorithm, scope) = v11.split_once('\n').unwrap();
    let config = format!(
        "[signing]\n{algorithm}\n[upstream_tls]\nca_file = \"ca.pem\"\n\
         [[route]]\npath = \"/a\"\nupstream = \"https://{address}\"\n{scope}"
    );
    place.file("apig-proxy.toml", &config);
    let (code, said, err) = place.run(&["check", "upstream"], &KEY);
    assert_eq!(code, 0, "{said}{err}");
}

#[test]
fn a_wrong_secret_and_a_wrong_stage_are_named() {
    let place = Place::new();
    let address = gateway(&place, "another", None);
    let upstream = format!("https://{address}");
    let (is_well, said) = checked(&place, &upstream, &[]);
    assert!(!is_well, "{said}");
    assert_has(&said, &["secret key does not belong"]);
    assert_eq!(results(&said)[4], ("request", "FAILED"));
    let (is_well, said) = checked(&place, &upstream, &["--stage", "TEST", "--path", "/v1/a"]);
    assert!(!is_well && said.contains("stage"), "{said}");
    // Hardly any gateway has an API at "/", so that says nothing of the key.
    let (is_well, said) = checked(&place, &upstream, &["--stage", "TEST"]);
    assert!(is_well && said.contains("--path"), "{said}");
    assert_eq!(results(&said)[4], ("request", "note"));
}

#[test]
fn the_first_step_that_fails_is_the_last_one() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    let elsewhere = format!("127.0.0.2:{}", address.port());
    for (authority, step, fragment) in [
        ("gateway.invalid", "dns", "check the host in `upstream`"),
        ("127.0.0.1:1", "connect", "check the network"),
        (&elsewhere, "connect", "check the network"),
    ] {
        let (is_well, said) = checked(&place, &format!("https://{authority}"), &[]);
        assert!(!is_well && said.contains(fragment), "{said}");
        assert_eq!(results(&said).last(), Some(&(step, "FAILED")), "{said}");
    }
    place.file(
        "apig-proxy.toml",
        "upstream = \"https://gateway.invalid\"\n",
    );
    let proxied = [&KEY[..], &[("HTTPS_PROXY", NOBODY)]].concat();
    let (_, said, _) = place.run(&["check", "upstream"], &proxied);
    let dns = "the egress proxy 127.0.0.1 resolves";
    let connect = "FAILED  the egress proxy of `HTTPS_PROXY` cannot be used (Connection refused (os error 111)); hint";
    assert_has(&said, &[dns, connect]);
    let other = Place::new();
    gateway(&other, SECRET, None);
    std::fs::copy(other.path().join("ca.pem"), place.path().join("ca.pem")).unwrap();
    let (is_well, said) = checked(&place, &format!("https://{address}"), &[]);
    assert!(!is_well && said.contains("upstream_tls.ca_file"), "{said}");
    assert_eq!(results(&said).last(), Some(&("tls", "FAILED")), "{said}");
}

#[test]
fn each_route_is_checked_or_the_one_that_takes_the_path() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    let text = format!(
        "upstream = \"https://127.0.0.1:1\"\n[[route]]\npath = \"/a\"\nupstream = \"https://{address}/v1\"\n\
         [upstream_tls]\nca_file = \"ca.pem\"\n"
    );
    place.file("apig-proxy.toml", &text);
    let (code, said, _) = place.run(&["check", "upstream"], &KEY);
    assert_eq!(code, 1);
    assert_has(&said, &["/a/ to https://", "/ to https://127.0.0.1:1"]);
    let (code, said, _) = place.run(&["check", "upstream", "--path", "/a/b"], &KEY);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("127.0.0.1:1\n"), "{said}");
}

#[test]
fn a_path_of_no_route_is_refused_before_anything_is_checked() {
    let place = Place::new();
    let routes =
        ["/a", "/b"].map(|path| format!("[[route]]\npath = \"{path}\"\nupstream = \"{NOBODY}\"\n"));
    place.file("apig-proxy.toml", &routes.concat());
    for (path, said) in [
        ("/c", "hint: begin it with the path of a route: /a, /b"),
        ("a", "hint: begin it with `/`"),
        ("", "hint: begin it with `/`"),
        ("?a=b", "hint: begin it with `/`"),
        ("https://host/a", "hint: begin it with `/`"),
        ("/a/<id>", "in place of what is in `<>`"),
        ("/a b", "percent-encode blanks"),
    ] {
        place.fails(&["check", "upstream", "--path", path], &KEY, 64, &[said]);
    }
}

#[test]
fn a_token_that_cannot_be_had_is_a_step_of_its_own() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    for name in ["user", "password", "domain"] {
        place.file(name, "x");
    }
    let files =
        "iam_user_file = \"user\"\niam_password_file = \"password\"\niam_domain_file = \"domain\"";
    let text = format!(
        "upstream = \"https://{address}\"\nauth.mode = \"token\"\n[upstream_tls]\nca_file = \"ca.pem\"\n\
         [credentials]\niam_endpoint = \"{NOBODY}\"\n{files}\n"
    );
    place.file("apig-proxy.toml", &text);
    let (code, said, err) = place.run(&["check", "upstream"], &[]);
    assert_eq!(code, 1, "{said}{err}");
    assert_eq!(results(&said).last(), Some(&("token", "FAILED")), "{said}");
    assert_has(&said, &["IAM"]);
}

#[test]
fn a_web_server_is_not_taken_for_a_gateway() {
    let place = Place::new();
    gateway(&place, SECRET, None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for status in ["200 OK", "404 Not Found", "500 Error"] {
            // The first connection is the one that only connects.
            drop(listener.accept());
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let head = format!("HTTP/1.1 {status}\r\nServer: web\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    for result in ["note", "note", "FAILED"] {
        let (_, said) = checked(&place, &url, &["--path", "/v1/x"]);
        assert_eq!(results(&said).last(), Some(&("request", result)), "{said}");
        assert_has(&said, &["nothing in the response shows that API Gateway"]);
    }
}

#[test]
fn what_limits_callers_and_a_proxy_that_runs_do_not_stand_in_the_way() {
    let place = Place::new();
    let address = gateway(&place, SECRET, None);
    place.file("token", "\u{feff}0123456789abcdef\r\n");
    place.file("callers.toml", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for limit in ["token_file = \"token\"", "callers_file = \"callers.toml\""] {
        place.file(
        "apig-proxy.toml",
        &format!(
            "listen = \"{taken}\"\nadmin = \"127.0.0.1:{}\"\n[access]\n{limit}\n[upstream_tls]\nca_file = \"ca.pem\"\n\
             [[route]]\npath = \"/a\"\nupstream = \"https://{address}/v1\"\nmethods = [\"POST\"]\npaths = [\"/a/b\"]\n",
            address.port()
        ),
    );
        let (code, said, err) = place.run(&["check", "upstream"], &KEY);
        assert_eq!(code, 0, "{said}{err}");
        assert_eq!(results(&said).last(), Some(&("request", "ok")), "{said}");
    }
}
