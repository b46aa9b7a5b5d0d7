//! Starts with something wrong or missing: one message that says what to do, and the right exit code.

use std::net::TcpListener;

use crate::program::{Place, Running, exchange};

const URL: &str = "https://gw.example";
const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];

/// Runs `serve` with a key and an upstream, but for what the arguments say, and returns what it complains of.
fn complaint(place: &Place, arguments: &[&str], environment: &[(&str, &str)], exit: i32) -> String {
    let (code, out, err) = place.run(arguments, environment);
    assert_eq!((code, out.as_str()), (exit, ""), "{err}");
    assert!(
        err.starts_with("apig-proxy: ") && err.ends_with('\n'),
        "{err}"
    );
    err
}

#[test]
fn no_upstream_says_how_to_give_one() {
    let said = complaint(&Place::new(), &[], &KEY, 78);
    assert!(
        said.contains("--upstream https://") && said.contains("apig-proxy demo"),
        "{said}"
    );
}

#[test]
fn no_credentials_says_where_they_are_looked_for() {
    let (code, out, said) = Place::new().run(&["--upstream", URL], &[]);
    assert_eq!((code, out.as_str()), (78, ""), "{said}");
    let complaint = said.lines().last().unwrap();
    assert!(
        complaint.starts_with("apig-proxy: ")
            && complaint.contains("HUAWEICLOUD_SDK_AK")
            && complaint.contains("--credentials credentials.csv"),
        "{said}"
    );
}

#[test]
fn fault_63_a_bad_url_an_unknown_key_and_a_wrong_value_are_named_with_their_places() {
    let place = Place::new();
    let said = complaint(&place, &["--upstream", "gw.example"], &KEY, 78);
    assert!(
        said.contains("--upstream: upstream: expected a URL"),
        "{said}"
    );
    place.file(
        "apig-proxy.toml",
        "upstream = \"https://gw.example\"\n\n[limits]\nbodie = 1\n",
    );
    let said = complaint(&place, &[], &KEY, 78);
    assert!(
        said.contains(
            "apig-proxy.toml:4: limits.bodie: there is no such key; did you mean limits.body?"
        ),
        "{said}"
    );
    let said = complaint(
        &place,
        &["serve"],
        &[("APIG_PROXY_STAGE", "a b"), KEY[0], KEY[1]],
        78,
    );
    assert!(
        said.contains("apig-proxy.toml:4") && said.contains("APIG_PROXY_STAGE: stage: "),
        "{said}"
    );
}

#[test]
fn fault_69_a_port_in_use_is_a_failure_while_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = Place::new().run(&["--upstream", URL, "--listen", &address], &KEY);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("cannot listen on {address}")) && said.contains("--listen"),
        "{said}"
    );
}

#[test]
fn fault_65_a_file_that_others_can_read_is_refused_with_the_command_to_run() {
    let place = Place::new();
    place.file_with_mode(
        "keys.csv",
        "User Name,Access Key Id,Secret Access Key\nme,AK,MARKER\n",
        0o644,
    );
    let said = complaint(
        &place,
        &["--upstream", URL, "--credentials", "keys.csv"],
        &[],
        78,
    );
    assert!(
        said.contains("run: chmod o-rwx keys.csv") && !said.contains("MARKER"),
        "{said}"
    );
}

#[test]
fn with_several_things_wrong_all_are_named() {
    let place = Place::new();
    place.file_with_mode("keys.csv", "x", 0o644);
    let arguments = [
        "--upstream",
        "http://gw.example",
        "--credentials",
        "keys.csv",
        "--listen",
        "0.0.0.0:8080",
        "--log-level",
        "loud",
    ];
    let said = complaint(&place, &arguments, &[("APIG_PROXY_LIMIT__BODY", "1")], 78);
    for expected in [
        "5 problems:",
        "plain http is for loopback",
        "chmod o-rwx",
        "--listen: listen:",
        "--log-level: log.level:",
        "APIG_PROXY_LIMIT__BODY: limit.body:",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let (code, _, checked) = place.run(
        &[&["check", "config"], &arguments[..]].concat(),
        &[("APIG_PROXY_LIMIT__BODY", "1")],
    );
    assert_eq!((code, checked), (78, said), "check config says the same");
}

#[test]
fn fault_66_no_option_takes_a_secret() {
    let place = Place::new();
    for option in [
        "--secret-key",
        "--sk",
        "--access-key",
        "--ak",
        "--token",
        "--password",
        "--security-token",
        "--app-code",
        "--api-key",
    ] {
        for command in ["serve", "sign", "verify", "demo", "gateway"] {
            let said = complaint_of(&place, &[command, option, "MARKER"]);
            assert!(!said.contains("MARKER"), "{said}");
            assert!(said.contains("unexpected argument"), "{said}");
        }
    }
}

/// What is said of arguments that are wrong.
fn complaint_of(place: &Place, arguments: &[&str]) -> String {
    let (code, out, err) = place.run(arguments, &[]);
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    err
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for arguments in [
        &["--secret-key", "x"][..],
        &["sreve"],
        &["sign"],
        &["check"],
        &["--upstream"],
    ] {
        let (code, _, said) = Place::new().run(arguments, &KEY);
        assert_eq!(code, 64, "{arguments:?} {said}");
    }
}

#[test]
fn check_config_is_content_with_what_serve_would_take() {
    let place = Place::new();
    let (code, out, err) = place.run(&["check", "config", "--upstream", URL], &KEY);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("in order") && out.contains("HUAWEICLOUD_SDK_AK"),
        "{out}"
    );
}

#[test]
fn a_start_says_where_it_listens_and_sigterm_ends_it() {
    let place = Place::new();
    let mut running = Running::start(place.command(
        &[
            "--upstream",
            "https://127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
        ],
        &KEY,
    ));
    let address = running.address();
    assert!(
        exchange(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 502 ")
    );
    let (code, said) = running.stop();
    assert_eq!(code, 0);
    assert!(
        said.contains("signing with the key from the environment"),
        "{said}"
    );
    assert!(said.contains("goes to https://127.0.0.1:1"), "{said}");
    assert!(said.contains("upstream_unreachable"), "{said}");
    assert!(
        !said.contains('\u{1b}'),
        "colours where no terminal is: {said}"
    );
}

#[test]
fn check_config_and_a_start_warn_of_names_to_which_browsers_send_no_metadata() {
    let place = Place::new();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"{URL}\"\n[access]\nhosts = [\"proxy.internal\"]\n"
    );
    place.file("apig-proxy.toml", &config);
    let (code, out, err) = place.run(&["check", "config"], &KEY);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("configuration is in order"), "{out}");
    let warning = "apig-proxy.toml:4: access.hosts: ";
    assert!(
        err.starts_with(&format!("apig-proxy: warning: {warning}")),
        "{err}"
    );
    assert!(!err.contains("proxy.internal"), "{err}");
    let mut running = Running::start(place.command(&[], &KEY));
    running.address();
    assert!(running.logged.contains(warning), "{}", running.logged);
}
