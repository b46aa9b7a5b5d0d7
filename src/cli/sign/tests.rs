//! What `sign` prints, compared with what official SDKs compute.

use std::process::Command;

use serde_json::Value;

use super::*;

fn arguments(url: &str) -> SignArguments {
    SignArguments {
        request: Described::default(),
        unsigned_payload: false,
        date: Some("20261123T080000Z".to_owned()),
        credentials: None,
        format: Format::Json,
        url: url.to_owned(),
    }
}

fn key() -> Credentials {
    Credentials {
        access_key: "AK".to_owned(),
        secret_key: "SK".into(),
        security_token: None,
    }
}

fn signed_with(
    arguments: &SignArguments,
    key: &Credentials,
) -> Result<(String, String), SignError> {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    sign(
        arguments,
        key,
        SigningDate::parse("20000101T000000Z")?,
        &mut out,
        &mut notes,
    )?;
    Ok((
        String::from_utf8(out).unwrap(),
        String::from_utf8(notes).unwrap(),
    ))
}

fn json(arguments: &SignArguments) -> Value {
    serde_json::from_str(&signed_with(arguments, &key()).unwrap().0).unwrap()
}

#[test]
fn every_vector_comes_out_stage_by_stage() {
    let vectors = include_str!("../../../tests/vectors/sdk-hmac-sha256.jsonl");
    let mut compared = 0;
    for case in vectors
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        // Bodies of vectors that are not text cannot be given as an argument.
        let body = case["body_base64"].as_str().unwrap();
        if !body.is_empty() && body != "eyJhIjoxfQ==" {
            continue;
        }
        let headers = case["headers"].as_array().unwrap().iter();
        let mut arguments = arguments(&text("url"));
        arguments.request.headers = headers
            .map(|pair| {
                format!(
                    "{}: {}",
                    pair[0].as_str().unwrap(),
                    pair[1].as_str().unwrap()
                )
            })
            .collect();
        arguments.request.method = Some(text("method"));
        arguments.date = Some(text("date"));
        arguments
            .request
            .headers
            .retain(|header| !header.to_lowercase().starts_with("x-sdk-date"));
        arguments.request.data = (!body.is_empty()).then(|| "{\"a\":1}".to_owned());
        let key = Credentials {
            access_key: text("access_key"),
            secret_key: text("secret_key").into(),
            security_token: None,
        };
        let (out, _) =
            signed_with(&arguments, &key).unwrap_or_else(|error| panic!("{}: {error}", case["id"]));
        let signed: Value = serde_json::from_str(&out).unwrap();
        for stage in ["canonical_request", "string_to_sign", "authorization"] {
            assert_eq!(signed[stage], case[stage], "{} {stage}", case["id"]);
        }
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn a_url_is_printed_as_it_must_be_sent() {
    let (out, notes) =
        signed_with(&arguments("https://gw.example:443?q=a+b;c#frag"), &key()).unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["url"], "https://gw.example:443/?q=a%20b%3Bc");
    assert_eq!(out["headers"]["host"], "gw.example");
    assert!(
        notes.contains("is sent as https://gw.example:443/?q=a%20b%3Bc"),
        "{notes}"
    );
    let (_, notes) = signed_with(&arguments("https://gw.example/a?b=c"), &key()).unwrap();
    assert_eq!(notes, "");
}

#[test]
fn a_body_makes_a_post_and_can_be_left_unsigned() {
    let mut arguments = arguments("https://gw.example/");
    assert_eq!(json(&arguments)["method"], "GET");
    arguments.unsigned_payload = true;
    assert!(matches!(
        signed_with(&arguments, &key()),
        Err(SignError::EmptyPayload)
    ));
    arguments.request.data = Some("x".to_owned());
    let out = json(&arguments);
    assert_eq!(
        (&out["method"], &out["headers"]["x-sdk-content-sha256"]),
        (&"POST".into(), &"UNSIGNED-PAYLOAD".into())
    );
    assert!(
        out["canonical_request"]
            .as_str()
            .unwrap()
            .ends_with("\nUNSIGNED-PAYLOAD")
    );
}

#[test]
fn a_temporary_key_s_token_is_signed() {
    let key = Credentials {
        security_token: Some("tok".into()),
        ..key()
    };
    let (out, _) = signed_with(&arguments("https://gw.example/"), &key).unwrap();
    assert!(
        out.contains("SignedHeaders=host;x-sdk-date;x-security-token"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_signed_says_why() {
    for url in [
        "gw.example",
        "ftp://gw.example",
        "https://",
        "https://u@gw.example",
        "https://gw.example/a b",
        "https://gw.example/%zz",
        "https://gw.example/../x",
    ] {
        assert!(signed_with(&arguments(url), &key()).is_err(), "{url}");
    }
    for header in ["x", ": v", "x_a: v", "x-a: é"] {
        let mut arguments = arguments("https://gw.example/");
        arguments.request.headers.push(header.to_owned());
        assert!(signed_with(&arguments, &key()).is_err(), "{header}");
    }
}

#[test]
fn the_curl_line_means_to_a_shell_what_was_signed() {
    let mut arguments = arguments("https://gw.example/it's?a[]=$HOME&b=`x`");
    arguments.format = Format::Curl;
    arguments.request.headers = vec!["x-a: it's \"$HOME\" \\".to_owned(), "x-empty:".to_owned()];
    arguments.request.data = Some("@it's\n$x".to_owned());
    let (line, _) = signed_with(&arguments, &key()).unwrap();
    let words = Command::new("sh")
        .args(["-c", &line.replacen("curl", "printf '%s\\0'", 1)])
        .output()
        .unwrap();
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
