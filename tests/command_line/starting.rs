//! Starts with something wrong or missing: one message that says what to do, and the right exit code.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::program::{
    GET, KEY, Place, Running, SERVE, assert_has, assert_status, exchange, finish,
};

const URL: &str = "https://gw.example";

/// Runs the program, whose message of configuration errors is all that it says.
#[track_caller]
fn complaint(
    place: &Place,
    arguments: &[&str],
    variables: &[(&str, &str)],
    expected: &[&str],
) -> String {
    let said = place.fails(arguments, variables, 78, expected);
    assert!(
        said.starts_with("apig-proxy: ") && said.ends_with('\n'),
        "{said}"
    );
    said
}

#[test]
fn fault_63_a_missing_or_bad_url_an_unknown_key_and_a_wrong_value_are_named_with_their_places() {
    let place = Place::new();
    complaint(
        &place,
        &[],
        &KEY,
        &["--upstream https://", "apig-proxy demo"],
    );
    let expected = ["--upstream: the URL has no scheme"];
    complaint(&place, &["--upstream", "gw.example"], &KEY, &expected);
    let text = "upstream = \"https://gw.example\"\n\n[limits]\nbodie = 1\n";
    place.file("apig-proxy.toml", text);
    let unknown =
        "apig-proxy.toml:4: limits.bodie: there is no such key\nhint: did you mean `limits.body`?";
    complaint(&place, &[], &KEY, &[unknown]);
    let variables = [("APIG_PROXY_STAGE", "a b"), KEY[0], KEY[1]];
    let expected = ["apig-proxy.toml:4", "APIG_PROXY_STAGE: stage: "];
    complaint(&place, &["serve"], &variables, &expected);
}

#[test]
fn fault_69_a_port_in_use_is_a_failure_while_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["--upstream", URL, "--listen", &address];
    let expected = format!("cannot listen on {address}");
    Place::new().fails(&arguments, &KEY, 1, &[&expected, "--listen"]);
}

#[test]
fn fault_65_a_file_that_others_can_read_is_refused_with_the_command_to_run() {
    let place = Place::new();
    let csv = "User Name,Access Key Id,Secret Access Key\nme,AK,MARKER\n";
    place.file_with_mode("keys.csv", csv, 0o644);
    let arguments = ["--upstream", URL, "--credentials", "keys.csv"];
    let said = complaint(
        &place,
        &arguments,
        &[],
        &["keys.csv is open to other users of this machine\nhint: run `chmod o-rwx` on it"],
    );
    assert!(!said.contains("MARKER"), "{said}");
}

#[test]
fn with_several_things_wrong_all_are_named() {
    let place = Place::new();
    place.file_with_mode("keys.csv", "x", 0o644);
    let arguments = [
        ["--upstream", "http://gw.example"],
        ["--credentials", "keys.csv"],
        ["--listen", "0.0.0.0:0"],
    ]
    .concat();
    let variables = [("APIG_PROXY_LIMIT__BODY", "1")];
    let expected = [
        "4 problems:",
        "plain http is for loopback",
        "chmod o-rwx",
        "--listen: an address that is not loopback",
        "APIG_PROXY_LIMIT__BODY: limit.body:",
    ];
    let said = complaint(&place, &arguments, &variables, &expected);
    let check = [&["check", "config"], &arguments[..]].concat();
    let (code, _, checked) = place.run(&check, &variables);
    assert_eq!((code, checked), (78, said), "check config says the same");
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    let place = Place::new();
    let mut command = place.command(&["check", "config", "--upstream", URL], &KEY);
    command.env("APIG_PROXY_STAGE", OsStr::from_bytes(b"\xffMARKER"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, _, err) = finish(command);
    assert_eq!(code, 78);
    assert_has(&err, &["APIG_PROXY_STAGE: stage: the value is not UTF-8"]);
    assert!(!err.contains("MARKER"), "{err}");
}

#[test]
fn fault_66_no_option_takes_a_secret() {
    let place = Place::new();
    let options = "--secret-key --sk --access-key --ak --token --password --security-token --app-code --api-key";
    for option in options.split(' ') {
        for command in ["serve", "sign", "verify", "demo", "gateway", "inspect"] {
            let arguments = [command, option, "MARKER"];
            let said = place.fails(&arguments, &[], 64, &["unexpected argument"]);
            assert!(!said.contains("MARKER"), "{said}");
        }
    }
}

#[test]
fn check_config_accepts_what_serve_would_accept() {
    let (code, out, err) = Place::new().run(&["check", "config", "--upstream", URL], &KEY);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_has(&out, &["in order", "HUAWEICLOUD_SDK_AK"]);
}

#[test]
fn a_start_says_where_it_listens_and_sigterm_ends_it() {
    let place = Place::new();
    let mut running = Running::start(place.command(&SERVE, &KEY));
    assert_status(&exchange(running.address(), GET), 502);
    let said = running.stops();
    let expected = [
        "signing with the key from the environment",
        "goes to https://127.0.0.1:1",
        "upstream_unreachable",
    ];
    assert_has(&said, &expected);
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
    assert_has(&running.logged, &[warning]);
}
