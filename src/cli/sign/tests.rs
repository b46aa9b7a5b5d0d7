//! What `sign` prints. Signatures are compared with those of the official SDKs in `tests/signature`.

use std::process::Command;

use super::super::Exit;
use super::*;

fn arguments(url: &str) -> SignArguments {
    SignArguments {
        request: RequestArguments::default(),
        unsigned_payload: false,
        stage: None,
        algorithm: Algorithm::default().name().to_owned(),
        region: String::new(),
        service: String::new(),
        date: SigningDate::parse("20261123T080000Z").ok(),
        credentials: None,
        format: Format::Json,
        url: url.to_owned(),
    }
}

fn signed(arguments: &SignArguments) -> Result<SignedRequest, Failure> {
    let key = Credentials {
        access_key: "AK".to_owned(),
        secret_key: "SK".into(),
        security_token: Some("token".into()),
    };
    let now = SigningDate::parse("20000101T000000Z").unwrap();
    sign(arguments, &key, now, &mut io::empty())
}

#[test]
fn a_url_is_printed_as_it_must_be_sent() {
    let request = signed(&arguments("https://gw.example:443?q=a+b;c#frag")).unwrap();
    assert_eq!(request.url, "https://gw.example:443/?q=a%20b%3Bc");
    assert_eq!(request.header_lines()[0], "host: gw.example");
}

#[test]
fn the_stage_and_the_token_are_signed_and_a_body_can_be_left_unsigned() {
    let mut arguments = arguments("https://gw.example/");
    arguments.stage = Some("RELEASE".to_owned());
    let request = signed(&arguments).unwrap();
    let names = "SignedHeaders=host;x-sdk-date;x-security-token;x-stage,";
    assert!(request.authorization.contains(names) && request.method == "GET");
    arguments.unsigned_payload = true;
    assert_eq!(signed(&arguments).unwrap_err().exit, Exit::Usage);
    arguments.request.data = Some("x".to_owned());
    let request = signed(&arguments).unwrap();
    assert_eq!(request.method, "POST");
    let declared = "x-sdk-content-sha256: UNSIGNED-PAYLOAD".to_owned();
    assert!(request.header_lines().contains(&declared));
}

#[test]
fn what_cannot_be_signed_is_refused() {
    for (url, header) in [
        ("gw.example", "x: y"),
        ("https://u@gw.example", "x: y"),
        ("https://gw.example/a b", "x: y"),
        ("https://gw.example/%zz", "x: y"),
        ("https://gw.example/", "x"),
        ("https://gw.example/", "x_a: v"),
        ("https://gw.example/", "Authorization: v"),
        ("https://gw.example/", "x-a: é"),
    ] {
        let mut arguments = arguments(url);
        arguments.request.headers.push(header.to_owned());
        let refused = signed(&arguments).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage, "{url} {header}");
    }
}

#[test]
fn a_shell_reads_the_curl_line_as_it_was_signed() {
    let mut arguments = arguments("https://gw.example/it's?a[]=$HOME&b=`x`");
    arguments.request.headers = vec!["x-a: it's \"$HOME\" \\".to_owned(), "x-empty:".to_owned()];
    arguments.request.data = Some("@it's\n$x".to_owned());
    let line = signed(&arguments).unwrap().curl(&arguments.request);
    let line = line.replacen("curl", "printf '%s\\0'", 1);
    let words = Command::new("sh").args(["-c", &line]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let words: Vec<&str> = words.split_terminator('\0').collect();
    for expected in [
        "--path-as-is",
        "-g",
        "POST",
        "x-a: it's \"$HOME\" \\",
        "x-empty;",
        "@it's\n$x",
        "https://gw.example/it's?a[]=$HOME&b=`x`",
    ] {
        assert!(words.contains(&expected), "{expected} in {words:?}");
    }
    for (body, is_json) in [("{\"a\": 1}", true), ("a=1", false)] {
        arguments.request.data = Some(body.to_owned());
        let line = signed(&arguments).unwrap().curl(&arguments.request);
        assert_eq!(
            line.contains("-H 'content-type: application/json'"),
            is_json,
            "{line}"
        );
    }
}
