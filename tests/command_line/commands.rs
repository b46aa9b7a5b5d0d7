//! The commands other than `serve`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::program::{BINARY, Place, assert_has, finish};

const KEY: [(&str, &str); 2] = [
    ("HUAWEICLOUD_SDK_AK", "QTWAOYTTINDUT2QVKYUC"),
    (
        "HUAWEICLOUD_SDK_SK",
        "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
    ),
];

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let place = Place::new();
    let folder = place.path().to_str().unwrap();
    let (code, out, err) = place.run(&["demo", "--once"], &[("TMPDIR", folder)]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out.matches("200 signature verified").count(), 3, "{out}");
    assert!(out.contains("413 PROXY.body_too_large"), "{out}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn sign_makes_the_signature_of_the_documentation() {
    let url = "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0";
    let json = ["-H", "Content-Type: application/json"];
    let sign = [&["sign", "--date", "20191115T033655Z"], &json[..], &[url]].concat();
    let (code, out, err) = Place::new().run(&sign, &KEY);
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = "authorization: SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe\n";
    assert!(out.ends_with(expected), "{out}");
}

#[test]
fn sign_reads_a_body_from_a_file_and_needs_a_key() {
    let place = Place::new();
    place.file("body", "{\"a\":1}");
    let url = "https://a.example/";
    let sign = |arguments: &[&str]| {
        let date = ["sign", "--date", "20191115T033655Z"];
        let (code, out, err) = place.run(&[&date, arguments, &[url]].concat(), &KEY);
        assert_eq!(code, 0, "{err}");
        out
    };
    let json = |body: [&str; 2]| sign(&[&body[..], &["--format", "json"]].concat());
    assert_eq!(json(["--data-file", "body"]), json(["-d", "{\"a\":1}"]));
    place.fails(&["sign", url], &[], 78, &[]);
    // With `-X HEAD`, curl would wait for a body.
    assert_has(&sign(&["-X", "HEAD", "--format", "curl"]), &[" --head "]);
    for (url, hint) in [
        ("not a url", "begin it with `https://`"),
        (" https://a.example/", "without blanks"),
        ("https://<id>.example/", "in place of what is in `<>`"),
        ("https://u@a.example/", "without a user"),
    ] {
        place.fails(&["sign", url], &KEY, 64, &[hint]);
    }
    let none = ["sign", "--data-file", "none", url];
    place.fails(&none, &KEY, 1, &["none cannot be read"]);
    let (code, _, err) = place.run(&["sign", "-d", "@body", url], &KEY);
    assert_eq!(code, 0);
    assert_has(&err, &["`--data-file` reads a file"]);
}

/// Runs `verify` with a request on standard input.
fn verify(place: &Place, arguments: &[&str], request: &str) -> (i32, String, String) {
    let mut command = place.command(&[&["verify"], arguments].concat(), &KEY);
    let file = place.file("standard input", request);
    command.stdin(File::open(file).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command)
}

#[test]
fn what_sign_prints_verifies_until_it_is_changed() {
    let place = Place::new();
    let body = "{\"a\":1}";
    let url = "https://a.example/v1/x?b=1&a=2";
    let request = ["-d", body, "-H", "x-stage: RELEASE", url];
    let (_, out, _) = place.run(
        &[&["sign", "--format", "json"], &request[..]].concat(),
        &KEY,
    );
    let signed: Value = serde_json::from_str(&out).unwrap();
    let headers = signed["headers"].as_object().unwrap().iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap()))
        .collect();
    let method = signed["method"].as_str().unwrap();
    let target = url.strip_prefix("https://a.example").unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\n{headers}\r\n{body}");

    let (code, out, err) = verify(&place, &["--require", "host", "-"], &request);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let said = "verified: access key QTWAOYTTINDUT2QVKYUC, signed headers host;x-sdk-date;x-stage, body covered: yes\n";
    assert_eq!(out, said);
    let (code, out, err) = verify(&place, &["--format", "json"], &format!("{request}\n"));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["verified"], false);
    let explanation = said["explanation"].as_str().unwrap();
    assert_has(explanation, &["without the line feed"]);
    let canonical = said["canonical_request"].as_str().unwrap();
    assert_eq!(canonical.lines().count(), 9);
    let (code, out, _) = verify(&place, &["--now", "20001123T080000Z"], &request);
    assert_eq!((code, out.contains("seconds ahead of")), (1, true), "{out}");
}

#[test]
fn every_algorithm_is_signed_and_verified() {
    let place = Place::new();
    let url = "https://a.example/v1/x";
    for (algorithm, scope) in [
        ("SDK-HMAC-SM3", &[][..]),
        ("V11-HMAC-SHA256", &["--region", "r", "--service", "s"]),
    ] {
        let sign = ["sign", "-d", "x", "--algorithm", algorithm, url];
        let (code, headers, err) = place.run(&[&sign, scope].concat(), &KEY);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_has(&headers, &[&format!("authorization: {algorithm} ")]);
        let request = format!("POST /v1/x HTTP/1.1\r\n{headers}\r\nx");
        let (code, out, _) = verify(&place, &[], &request);
        assert_eq!(code, 0, "{out}");
        let (_, out, _) = verify(&place, &[], &format!("{request}\n"));
        assert_has(&out, &["signed without the line feed at its end"]);
    }
    let without = ["sign", "--algorithm", "V11-HMAC-SHA256", url];
    place.fails(
        &without,
        &KEY,
        64,
        &["hint: give `--region` and `--service`"],
    );
}

#[test]
fn sign_refuses_regions_and_services_that_it_cannot_sign_for() {
    let place = Place::new();
    let derived = "V11-HMAC-SHA256";
    let hint = "hint: give `--region` and `--service` with it";
    for (algorithm, region, service, said) in [
        (derived, "a/b", "s", "expected a name like"),
        (derived, "r", ",", "expected a name like"),
        (derived, "r", "c\r\nX: y", "expected a name like"),
        ("SDK-HMAC-SHA256", "r", "", hint),
        ("SDK-HMAC-SM3", "", "s", hint),
    ] {
        let scope = ["--algorithm", algorithm, "--region", region];
        let request = ["--service", service, "https://a.example/"];
        let arguments = [&["sign"], &scope[..], &request].concat();
        place.fails(&arguments, &KEY, 64, &[said]);
    }
}

#[test]
fn verify_tells_wrong_arguments_from_bad_credentials_and_unreadable_requests() {
    let place = Place::new();
    for arguments in [
        &["--window", "soon"][..],
        &["--now", "today"],
        &["-X", "GET", "file"],
        &["-d", "a", "--data-file", "b", "https://a.example/"],
        &["-H", "x", "https://a.example/"],
    ] {
        assert_eq!(verify(&place, arguments, "").0, 64, "{arguments:?}");
    }
    assert_eq!(verify(&place, &["--credentials", "none"], "").0, 78);
    let (code, _, err) = verify(&place, &["none"], "");
    assert_eq!(code, 1);
    assert_has(&err, &["cannot be read from none ("]);
    let (code, out, err) = verify(&place, &[], "hello");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("this is not a request of HTTP/1.1"), "{err}");
}

#[test]
fn demo_and_gateway_are_for_this_machine_only() {
    let place = Place::new();
    for command in ["gateway", "demo"] {
        let arguments = [command, "--listen", "0.0.0.0:0"];
        place.fails(&arguments, &[], 64, &["loopback"]);
    }
}

/// The arguments, the problem, and the hint.
const USAGE: &str = "
--nonsense=MARKER | unexpected argument '--nonsense' found | `--help` shows what is expected
sign --formats json x | unexpected argument '--formats' found | a similar argument exists: '--format'
sign --upstream x y | unexpected argument '--upstream' found | `--help` shows what is expected
serve --insecure | unexpected argument '--insecure' found | `--help` shows what is expected
run --readonly -- true | unexpected argument '--readonly' found | a similar argument exists: '--read-only'
sign x MARKER | unexpected argument found | `--help` shows what is expected
sign | the following required arguments were not provided: <URL> | `--help` shows what is expected
sign --format | a value is required for '--format <FORMAT>' but none was supplied [possible values: headers, curl, json] | `--help` shows what is expected
sign --format MARKER x | invalid value for '--format <FORMAT>' [possible values: headers, curl, json] | `--help` shows what is expected
completions fsh | invalid value for '<SHELL>' [possible values: bash, elvish, fish, powershell, zsh] | a similar value exists: 'fish'
quit --timeout=-5s | invalid value for '--timeout <TIME>': expected a time in ms, s, m, h or d, like `30s` or `90d` | `--help` shows what is expected
run MARKER | unexpected argument found | put `--` before the program, as in `apig-proxy run -- PROGRAM`
--log-level MARKER | invalid value for '--log-level <LEVEL>' [possible values: error, warn, info, debug, trace, off] | `--help` shows what is expected
gateway --listen MARKER | invalid value for '--listen <ADDR>': expected a loopback address with a port, like `127.0.0.1:8443` | `--help` shows what is expected
wait --timeout MARKER | invalid value for '--timeout <TIME>': expected a time in ms, s, m, h or d, like `30s` or `90d` | `--help` shows what is expected
caller new x --method MARKer | invalid value for '--method <METHOD>': expected a method in capital letters, like `GET`, or `*` for any; CONNECT and TRACE cannot be allowed | `--help` shows what is expected
caller new x --rate MARKER | invalid value for '--rate <REQUESTS/TIME>': expected requests in a time of at least a second, like 60/1m or 1000/1d | `--help` shows what is expected
serv | unrecognized subcommand | some similar subcommands exist: 'env', 'serve'
--inspect MARKER | the subcommand cannot be used with '--inspect' | put the command before its options, as in `apig-proxy serve --inspect`; `--help` lists the commands
--config a --config b | the argument '--config <FILE>' cannot be used multiple times | `--help` shows what is expected
sign -d x --data-file y z | the argument '--data <DATA>' cannot be used with '--data-file <FILE>' | `--help` shows what is expected
";

#[test]
fn usage_errors_have_a_hint_and_quote_no_value() {
    for row in USAGE.trim().lines() {
        let [arguments, problem, hint] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let said = Place::new().fails(&arguments, &[], 64, &[]);
        assert_eq!(said, format!("apig-proxy: {problem}\nhint: {hint}\n"));
    }
}

#[test]
fn help_names_the_variable_of_each_option_and_breaks_no_command_line() {
    let (_, serve, _) = Place::new().run(&["serve", "--help"], &[]);
    let options = serve.matches("\n      --").count();
    let words = serve.split_whitespace().collect::<Vec<_>>().join(" ");
    let variables = words.matches("[env: APIG_PROXY_").count();
    assert_eq!(variables, options, "{serve}");
    let (code, help, _) = Place::new().run(&["help"], &[]);
    assert_eq!(code, 0);
    let commands = help.split_once("Without a command").unwrap().1;
    assert!(commands.lines().all(|line| line.len() < 80), "{help}");
}

#[test]
fn a_gateway_replaces_the_files_of_an_earlier_one_and_no_others() {
    let place = Place::new();
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--dir", "gateway"];
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut command = place.command(&arguments, &[]);
        let mut gateway = command.stdout(Stdio::piped()).spawn().unwrap();
        // The last line is printed once all files are written.
        let lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
        let last = lines
            .map(Result::unwrap)
            .find(|line| line.contains("--config"));
        assert!(last.is_some());
        place.fails(&arguments, &[], 1, &["another gateway uses the folder"]);
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        keys.push(std::fs::read(place.path().join("gateway/credentials.csv")).unwrap());
    }
    assert_ne!(keys[0], keys[1]);
    std::fs::create_dir(place.path().join("mine")).unwrap();
    std::fs::write(place.path().join("mine/credentials.csv"), "mine").unwrap();
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--dir", "mine"];
    let expected = [
        "mine: `credentials.csv` was not written",
        "hint: choose another folder",
    ];
    // The first failure leaves nothing behind that lets the second start go on.
    for _ in 0..2 {
        place.fails(&arguments, &[], 1, &expected);
        let kept = std::fs::read(place.path().join("mine/credentials.csv"));
        assert_eq!(kept.unwrap(), b"mine");
        assert_eq!(
            std::fs::read_dir(place.path().join("mine"))
                .unwrap()
                .count(),
            1
        );
    }
}

#[test]
fn completions_are_printed_for_the_usual_shells() {
    for (shell, expected) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef apig-proxy"),
        ("fish", "complete -c apig-proxy"),
    ] {
        let (code, out, err) = Place::new().run(&["completions", shell], &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_has(&out, &[expected, "upstream"]);
    }
    let text = "source <(\"$0\" completions bash); COMP_WORDS=(apig-proxy check u); COMP_CWORD=2; \
        _apig__proxy apig-proxy u check; echo ${COMPREPLY[*]}; exec 3> >(true); wait $!; \"$0\" completions bash >&3";
    let place = Place::new();
    let mut bash = place.other_command(&["bash", "-c", text, BINARY], &[]);
    bash.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(finish(bash), (0, "upstream\n".to_owned(), String::new()));
    assert_eq!(Place::new().run(&["completions", "cmd"], &[]).0, 64);
}
