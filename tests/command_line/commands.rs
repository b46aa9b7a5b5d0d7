//! The commands other than `serve`.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Place, Running};

const KEY: [(&str, &str); 2] = [
    ("HUAWEICLOUD_SDK_AK", "QTWAOYTTINDUT2QVKYUC"),
    (
        "HUAWEICLOUD_SDK_SK",
        "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
    ),
];

#[test]
fn the_demo_ends_well_in_every_mode_and_leaves_nothing_behind() {
    for (mode, accepted) in [
        (None, "200 signature verified"),
        (Some("aksk"), "200 signature verified"),
        (Some("token"), "200 token accepted"),
        (Some("app-code"), "200 app code accepted"),
        (Some("api-key"), "200 API key accepted"),
    ] {
        let place = Place::new();
        let mut arguments = vec!["demo", "--once"];
        arguments.extend(mode.into_iter().flat_map(|mode| ["--auth", mode]));
        let folder = place.path().to_str().unwrap();
        let (code, out, err) = place.run(&arguments, &[("TMPDIR", folder)]);
        assert_eq!((code, err.as_str()), (0, ""), "{mode:?}: {out}");
        assert_eq!(out.matches(accepted).count(), 3, "{mode:?}: {out}");
        assert!(out.contains("413 PROXY.body_too_large"), "{mode:?}: {out}");
        let left = std::fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, 0, "{mode:?} leaves files");
    }
    let (code, _, _) = Place::new().run(&["demo", "--once", "--auth", "none"], &[]);
    assert_eq!(code, 64);
}

#[test]
fn sign_makes_the_signature_of_the_documentation() {
    let url = "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0";
    let (code, out, err) = Place::new().run(
        &[
            "sign",
            "--date",
            "20191115T033655Z",
            "-H",
            "Content-Type: application/json",
            url,
        ],
        &KEY,
    );
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = "authorization: SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe\n";
    assert!(out.ends_with(expected), "{out}");
}

#[test]
fn sign_reads_a_body_from_a_file_and_needs_a_key() {
    let place = Place::new();
    place.file("body", "{\"a\":1}");
    let sign = |arguments: &[&str]| {
        place
            .run(
                &[
                    &["sign", "--format", "json", "--date", "20191115T033655Z"],
                    arguments,
                    &["https://a.example/"],
                ]
                .concat(),
                &KEY,
            )
            .1
    };
    assert_eq!(sign(&["--data-file", "body"]), sign(&["-d", "{\"a\":1}"]));
    assert_eq!(place.run(&["sign", "https://a.example/"], &[]).0, 78);
    assert_eq!(place.run(&["sign", "not a url"], &KEY).0, 64);
    assert_eq!(
        place
            .run(&["sign", "--data-file", "none", "https://a.example/"], &KEY)
            .0,
        1
    );
}

/// Runs `verify` with a request on standard input.
fn verify(place: &Place, arguments: &[&str], request: &str) -> (i32, String, String) {
    let arguments = [&["verify"], arguments].concat();
    let mut child = place
        .command(&arguments, &KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(request.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_sign_prints_verifies_until_it_is_changed() {
    let place = Place::new();
    let body = "{\"a\":1}";
    let (_, out, _) = place.run(
        &[
            "sign",
            "--format",
            "json",
            "-d",
            body,
            "-H",
            "x-stage: RELEASE",
            "https://a.example/v1/x?b=1&a=2",
        ],
        &KEY,
    );
    let signed: Value = serde_json::from_str(&out).unwrap();
    let headers = signed["headers"].as_object().unwrap().iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap()))
        .collect();
    let method = signed["method"].as_str().unwrap();
    let target = signed["url"]
        .as_str()
        .unwrap()
        .replace("https://a.example", "");
    let request = format!("{method} {target} HTTP/1.1\r\n{headers}\r\n{body}");

    let (code, out, err) = verify(&place, &["--require", "host", "-"], &request);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(
        out,
        "verified: access key QTWAOYTTINDUT2QVKYUC, signed headers host;x-sdk-date;x-stage, body covered: yes\n"
    );
    let (code, out, err) = verify(&place, &["--format", "json"], &format!("{request}\n"));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["verified"], false);
    let explanation = said["explanation"].as_str().unwrap();
    assert!(
        explanation.contains("without the line feed"),
        "{explanation}"
    );
    assert_eq!(
        said["canonical_request"].as_str().unwrap().lines().count(),
        9
    );
    let (code, out, _) = verify(&place, &["--now", "20001123T080000Z"], &request);
    assert_eq!((code, out.contains("seconds ahead of")), (1, true), "{out}");
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
    assert_eq!(verify(&place, &["none"], "").0, 1);
    let (code, out, err) = verify(&place, &[], "hello");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("this is not a request of HTTP/1.1"), "{err}");
}

#[test]
fn a_proxy_works_before_the_gateway_command_with_the_configuration_that_it_writes() {
    let place = Place::new();
    let folder = place.path().join("gateway");
    let folder = folder.to_str().unwrap();
    let gateway = Running::start(place.command(
        &["gateway", "--listen", "127.0.0.1:0", "--dir", folder],
        &[],
    ));
    let config = format!("{folder}/apig-proxy.toml");
    for _ in 0..2000 {
        if std::path::Path::new(&config).exists() {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut proxy =
        Running::start(place.command(&["--config", &config, "--listen", "127.0.0.1:0"], &[]));
    let answer = crate::program::exchange(
        proxy.address(),
        "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"verified\":true"),
        "{answer}"
    );
    assert_eq!(proxy.stop().0, 0);
    let (code, said) = gateway.stop();
    assert_eq!(code, 0);
    assert!(
        said.contains("apig-proxy --config ") && !said.contains("Secret"),
        "{said}"
    );
    // A second gateway does not overwrite the keys of the first.
    let (code, _, said) = place.run(
        &["gateway", "--listen", "127.0.0.1:0", "--dir", folder],
        &[],
    );
    assert_eq!(code, 1, "{said}");
}

#[test]
fn what_is_for_this_machine_only_does_not_listen_elsewhere() {
    for command in ["gateway", "demo"] {
        let (code, _, said) = Place::new().run(&[command, "--listen", "0.0.0.0:0"], &[]);
        assert_eq!((code, said.contains("loopback")), (64, true), "{said}");
    }
}

#[test]
fn a_backend_of_the_gateway_is_on_this_machine() {
    for url in [
        "http://192.0.2.1:80",
        "https://127.0.0.1:80",
        "http://127.0.0.1",
    ] {
        let (code, _, message) = Place::new().run(&["gateway", "--backend", url], &[]);
        assert_eq!(
            (code, message.contains("such as http://127.0.0.1:8000")),
            (64, true),
            "{message}"
        );
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for argument in ["--help", "--version"] {
        let (code, out, err) = Place::new().run(&[argument], &[]);
        assert_eq!(
            (code, err.as_str(), out.contains("apig-proxy")),
            (0, "", true)
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
        assert!(
            out.contains(expected) && out.contains("upstream"),
            "{shell}: {out}"
        );
    }
    assert_eq!(Place::new().run(&["completions", "cmd"], &[]).0, 64);
}
