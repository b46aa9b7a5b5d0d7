//! What `sign` prints. Its signatures are compared with those of the official SDKs.

use std::process::Command;

use serde_json::Value;

use super::*;

fn arguments(url: &str) -> SignArguments {
    SignArguments {
        request: RequestArguments::default(),
        unsigned_payload: false,
        stage: None,
        date: Some("20261123T080000Z".to_owned()),
        credentials: None,
        format: Format::Json,
        url: url.to_owned(),
    }
}

fn key(access_key: &str, secret_key: &str) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret_key.into(),
        security_token: None,
    }
}

fn signed(arguments: &SignArguments) -> Result<SignedRequest, Failure> {
    let now = SigningDate::parse("20000101T000000Z").unwrap();
    sign(arguments, &key("AK", "SK"), now, &mut io::empty())
}

#[test]
fn every_vector_comes_out_stage_by_stage() {
    let vectors = include_str!("../../../tests/vectors/sdk-hmac-sha256.jsonl");
    let mut compared = 0;
    for case in vectors.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        // Bodies of vectors that are not text cannot be given as an argument.
        let data = match case["body_base64"].as_str().unwrap() {
            "" => None,
            "eyJhIjoxfQ==" => Some("{\"a\":1}".to_owned()),
            _ => continue,
        };
        let pairs: Vec<(String, String)> = serde_json::from_value(case["headers"].clone()).unwrap();
        let mut arguments = arguments(&text("url"));
        arguments.request.method = Some(text("method"));
        arguments.request.data = data;
        arguments.request.headers = pairs
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        arguments.date = Some(text("date"));
        let (key, now) = (
            key(&text("access_key"), &text("secret_key")),
            clock::signing_date(),
        );
        let request = sign(&arguments, &key, now, &mut io::empty())
            .unwrap_or_else(|failure| panic!("{}: {failure:?}", case["id"]));
        let signed: Value = serde_json::from_str(&output::text(&request, &arguments)).unwrap();
        for stage in ["canonical_request", "string_to_sign", "authorization"] {
            assert_eq!(signed[stage], case[stage], "{} {stage}", case["id"]);
        }
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn a_url_is_printed_as_it_must_be_sent() {
    let request = signed(&arguments("https://gw.example:443?q=a+b;c#frag")).unwrap();
    assert_eq!(request.url, "https://gw.example:443/?q=a%20b%3Bc");
    assert_eq!(
        request.headers[0],
        ("host".to_owned(), "gw.example".to_owned())
    );
}

#[test]
fn a_body_makes_a_post_and_can_be_left_unsigned() {
    let mut arguments = arguments("https://gw.example/");
    assert_eq!(signed(&arguments).unwrap().method, "GET");
    arguments.unsigned_payload = true;
    assert_eq!(
        signed(&arguments).unwrap_err().exit,
        super::super::Exit::Usage
    );
    arguments.request.data = Some("x".to_owned());
    let request = signed(&arguments).unwrap();
    assert_eq!(request.method, "POST");
    assert!(request.canonical_request.ends_with("\nUNSIGNED-PAYLOAD"));
    let declared = (
        "x-sdk-content-sha256".to_owned(),
        "UNSIGNED-PAYLOAD".to_owned(),
    );
    assert!(request.headers.contains(&declared));
}

#[test]
fn the_stage_and_the_token_of_a_temporary_key_are_signed() {
    let mut arguments = arguments("https://gw.example/");
    arguments.stage = Some("RELEASE".to_owned());
    let mut key = key("AK", "SK");
    key.security_token = Some("tok".into());
    let request = sign(&arguments, &key, clock::signing_date(), &mut io::empty()).unwrap();
    let names = "SignedHeaders=host;x-sdk-date;x-security-token;x-stage,";
    assert!(
        request.authorization.contains(names),
        "{}",
        request.authorization
    );
}

#[test]
fn what_cannot_be_signed_is_refused() {
    for url in [
        "gw.example",
        "ftp://gw.example",
        "https://",
        "https://u@gw.example",
        "https://gw.example/a b",
        "https://gw.example/%zz",
        "https://gw.example/../x",
    ] {
        assert!(signed(&arguments(url)).is_err(), "{url}");
    }
    for header in ["x", ": v", "x_a: v", "x-a: é"] {
        let mut arguments = arguments("https://gw.example/");
        arguments.request.headers.push(header.to_owned());
        assert!(signed(&arguments).is_err(), "{header}");
    }
}

#[test]
fn a_shell_reads_the_curl_line_as_it_was_signed() {
    let mut arguments = arguments("https://gw.example/it's?a[]=$HOME&b=`x`");
    arguments.format = Format::Curl;
    arguments.request.headers = vec!["x-a: it's \"$HOME\" \\".to_owned(), "x-empty:".to_owned()];
    arguments.request.data = Some("@it's\n$x".to_owned());
    let line = output::text(&signed(&arguments).unwrap(), &arguments);
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
}
