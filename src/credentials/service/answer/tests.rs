//! Answers in all the spellings that there are, and others.

use super::*;

const END: &str = "2026-11-25T00:00:00.123Z";

fn answer(body: &str) -> Answer {
    Answer {
        status: 200,
        headers: http::HeaderMap::new(),
        body: SecretBox::new(Box::new(body.as_bytes().to_vec())),
        told: None,
        at: Moment::now(),
    }
}

fn garbage(body: &str) -> String {
    let error = answer(body).key().err();
    let error = error.unwrap_or_else(|| panic!("it was taken: {body}"));
    assert!(matches!(error, ServiceError::Garbage(_)), "{error}");
    error.to_string()
}

#[test]
fn a_key_is_found_under_all_of_its_names() {
    let names = [
        ["access", "secret", "securitytoken", "expires_at"],
        [
            "accessKeyId",
            "secretAccessKey",
            "securityToken",
            "expiration",
        ],
        [
            "access_key_id",
            "secret_access_key",
            "security_token",
            "expiration",
        ],
    ];
    for [access, secret, token, end] in names {
        let parts = format!(
            r#"{{"{access}":"AK","{secret}":"SK","{token}":"token","{end}":"{END}","more":1}}"#
        );
        for body in [
            parts.clone(),
            format!(r#"{{"credential":{parts}}}"#),
            format!(r#"{{"assumed_agency":{{"urn":"u"}},"credentials":{parts}}}"#),
        ] {
            let key = answer(&body).key().unwrap_or_else(|error| {
                panic!("{error}: {body}");
            });
            let Credentials {
                access_key,
                secret_key,
                security_token,
            } = key.credentials;
            assert_eq!(access_key, "AK");
            assert_eq!(secret_key.expose_secret(), "SK");
            assert_eq!(security_token.unwrap().expose_secret(), "token");
            assert_eq!(key.expires_at % 1000, 123);
        }
    }
}

#[test]
fn what_has_another_shape_is_no_key_and_is_not_quoted() {
    let with = |access: &str, token: &str, end: &str| {
        format!(
            r#"{{"credential":{{"access":{access},"secret":"MARKER","securitytoken":{token},"expires_at":"{end}"}}}}"#
        )
    };
    for body in [
        String::new(),
        "<html>MARKER</html>".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        r#"{"credential":"MARKER"}"#.to_owned(),
        r#"{"credential":{"access":"MARKER","secret":"MARKER"}}"#.to_owned(),
        with("7", r#""MARKER""#, END),
        with(r#""A K""#, r#""MARKER""#, END),
        with(r#""""#, r#""MARKER""#, END),
        with(r#""AK""#, r#""""#, END),
        with(r#""AK""#, r#""MARKER\r\nx: y""#, END),
        with(r#""AK""#, "null", END),
        with(r#""AK""#, r#""MARKER""#, "MARKER"),
        with(r#""AK""#, r#""MARKER""#, ""),
        with(r#""AK""#, r#""MARKER""#, END) + "}",
    ] {
        let said = garbage(&body);
        assert!(!said.contains("MARKER"), "{said}");
    }
}

#[test]
fn times_are_read_with_any_number_of_digits() {
    for (text, expected) in [
        ("2026-11-25T00:00:00Z", 0),
        ("2026-11-25T00:00:00.5Z", 500),
        ("2026-11-25T00:00:00.123Z", 123),
        ("2026-11-25T00:00:00.123456Z", 123),
        ("2026-11-25T00:00:00.123456789Z", 123),
        ("2026-11-25T08:00:00+08:00", 0),
    ] {
        let seconds = 1_795_564_800_000;
        assert_eq!(milliseconds(text), Some(seconds + expected), "{text}");
    }
    for text in [
        "",
        "tomorrow",
        "1795564800",
        "2026-11-25",
        "2026-11-25T00:00:00",
    ] {
        assert_eq!(milliseconds(text), None, "{text}");
    }
}

#[test]
fn the_code_of_a_refusal_is_found_under_all_of_its_names() {
    for (body, code) in [
        (r#"{"error_code":"STS5.1106","error_msg":"x"}"#, "STS5.1106"),
        (r#"{"errorCode":"PAP5.0001"}"#, "PAP5.0001"),
        (r#"{"code":"APIGW.0301","message":"x"}"#, "APIGW.0301"),
        (r#"{"error":{"code":401,"message":"x","title":"y"}}"#, "401"),
        (r#"{"error":{"error_code":"IAM.0001"}}"#, "IAM.0001"),
    ] {
        assert_eq!(answer(body).code().as_deref(), Some(code), "{body}");
    }
}

#[test]
fn what_has_not_the_shape_of_a_code_is_not_taken_for_one() {
    let long = format!(r#"{{"code":"{}"}}"#, "a".repeat(33));
    for body in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"code":""}"#,
        r#"{"code":"two words"}"#,
        r#"{"code":"a\nb"}"#,
        r#"{"code":"tok/en+x=="}"#,
        r#"{"code":{"a":"b"}}"#,
        r#"{"code":null}"#,
        r#"{"error":{"error":{"code":1}}}"#,
        &long,
    ] {
        assert_eq!(answer(body).code(), None, "{body}");
    }
}

#[test]
fn a_token_is_one_that_a_header_can_carry() {
    assert_eq!(answer("token\n").line().unwrap().expose_secret(), "token");
    for body in ["", " ", "two words", "a\nb", "\u{e9}"] {
        assert!(answer(body).line().is_err(), "{body}");
    }
    let mut with = answer("");
    assert!(with.subject_token().is_err());
    let token = http::HeaderValue::from_static("MIIt==");
    with.headers.insert("x-subject-token", token);
    assert_eq!(with.subject_token().unwrap().expose_secret(), "MIIt==");
    let token = http::HeaderValue::from_static("two words");
    with.headers.insert("x-subject-token", token);
    assert!(with.subject_token().is_err());
}
