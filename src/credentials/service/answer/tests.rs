//! Responses in all the spellings that there are, and others.

use secrecy::SecretBox;

use super::*;

const END: &str = "2026-11-25T00:00:00.123Z";

fn answer(body: &str) -> Answer {
    let body = SecretBox::new(Box::new(body.as_bytes().to_vec()));
    Answer::new("x", Response::new(body))
}

#[test]
fn a_key_is_found_under_all_of_its_names() {
    for names in [
        "access secret securitytoken expires_at",
        "accessKeyId secretAccessKey securityToken expiration",
        "access_key_id secret_access_key security_token expiration",
    ] {
        let names: Vec<&str> = names.split(' ').collect();
        let [access, secret, token, end] = names[..] else {
            panic!("there are four names");
        };
        let parts = format!(
            r#"{{"{access}":"AK","{secret}":"SK","{token}":"token","{end}":"{END}","more":1}}"#
        );
        for body in [
            parts.clone(),
            format!(r#"{{"credential":{parts}}}"#),
            format!(r#"{{"assumed_agency":{{"urn":"u"}},"credentials":{parts}}}"#),
        ] {
            let Secret::Key(key) = answer(&body).key().expect(&body).secret else {
                panic!("{body}");
            };
            let token = key.security_token.unwrap();
            let parts = [&key.secret_key, &token].map(ExposeSecret::expose_secret);
            assert_eq!((key.access_key.as_str(), parts), ("AK", ["SK", "token"]));
        }
    }
}

#[test]
fn a_response_of_another_shape_is_no_key_and_is_not_quoted() {
    let with = |access: &str, token: &str, end: &str| {
        format!(
            r#"{{"credential":{{"access":{access},"secret":"MARKER","securitytoken":{token},"expires_at":"{end}"}}}}"#
        )
    };
    for body in [
        String::new(),
        "<html>MARKER</html>".to_owned(),
        r#"{"credential":{"access":"MARKER","secret":"MARKER"}}"#.to_owned(),
        with("7", r#""MARKER""#, END),
        with(r#""""#, r#""MARKER""#, END),
        with(r#""AK""#, r#""MARKER\r\nx: y""#, END),
        with(r#""AK""#, r#""MARKER""#, "MARKER"),
        with(r#""AK""#, r#""MARKER""#, END) + "}",
    ] {
        let error = answer(&body).key().expect_err(&body);
        assert!(matches!(error, CredentialsError::Garbage(_)), "{error}");
        assert!(!error.to_string().contains("MARKER"), "{error}");
    }
}

#[test]
fn times_are_read_with_any_number_of_digits() {
    let seconds = 1_795_564_800_000;
    for (text, expected) in [
        ("2026-11-25T00:00:00Z", Some(seconds)),
        ("2026-11-25T00:00:00.123456789Z", Some(seconds + 123)),
        ("2026-11-25T08:00:00+08:00", Some(seconds)),
        (
            "9999-12-31T23:59:59Z",
            Some(Timestamp::MAX.as_millisecond()),
        ),
        ("", None),
        ("2026-11-25T00:00:00", None),
    ] {
        assert_eq!(milliseconds(text), expected, "{text}");
    }
}

#[test]
fn clock_skew_of_hours_on_either_side_is_tolerated() {
    let mut answer = answer("");
    let now = answer.at.wall;
    assert_eq!(answer.lifetime(now + 5000), Duration::from_secs(5));
    for hours in [-30, -5, 5, 30] {
        let told = now / 1000 + hours * 3600;
        let date = Timestamp::from_second(told).unwrap();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer
            .response
            .headers_mut()
            .insert("date", date.parse().unwrap());
        // The date has no fractions, so a second is taken off.
        let lifetime = answer.lifetime(told * 1000 + 61_000);
        assert_eq!(lifetime, Duration::from_secs(60), "{hours} h");
        assert_eq!(answer.lifetime(told * 1000), Duration::ZERO);
    }
}

#[test]
fn only_a_code_is_quoted_of_a_refusal() {
    let long = format!(r#"{{"code":"{}"}} => none"#, "a".repeat(33));
    let cases = r#"
        {"error_code":"STS5.1106","error_msg":"x"} => STS5.1106
        {"errorCode":"PAP5.0001"} => PAP5.0001
        {"code":"APIGW.0301","message":"x"} => APIGW.0301
        {"error":{"code":401,"message":"x","title":"y"}} => 401
        x => none
        {"code":"two words"} => none
        {"code":"tok/en+x=="} => none"#;
    for case in cases.trim().lines().chain([&*long]) {
        let (body, code) = case.trim().split_once(" => ").unwrap();
        assert_eq!(
            answer(body).code().as_deref().unwrap_or("none"),
            code,
            "{body}"
        );
    }
}
