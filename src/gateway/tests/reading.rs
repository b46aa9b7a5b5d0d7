//! From answers to meanings.

use super::*;

#[test]
fn an_echo_ends_with_the_message_or_with_a_quote() {
    let canonical = echoed(&canonical());
    for tail in [
        "",
        " ",
        "\",\"error_code\":\"APIG.0301\"}",
        "\\\",\\\"x",
        "\n",
    ] {
        for name in [
            "canonicalRequest:",
            "canonicalRequest: ",
            "canonical request=",
        ] {
            let message = format!("verify aksk signature fail, {name}{canonical}{tail}");
            let Meaning::SignatureMismatch { echoed: Some(echo) } =
                meaning(401, "APIG.0301", &message)
            else {
                panic!("{message}");
            };
            assert_eq!(echo.as_str(), canonical, "{message}");
        }
    }
    let empty = meaning(
        401,
        "APIG.0301",
        "verify aksk signature fail, canonicalRequest:",
    );
    assert_eq!(empty, Meaning::SignatureMismatch { echoed: None });
}

#[test]
fn words_in_an_echo_decide_nothing() {
    let path =
        "/ak/reach the limit/signature expired/not exist/frozen/server time:20211217T065804Z/";
    let message =
        format!("verify aksk signature fail, canonicalRequest:GET|{path}||host:h||host|0");
    let found = meaning(401, "APIG.0301", &message);
    assert!(
        matches!(found, Meaning::SignatureMismatch { echoed: Some(_) }),
        "{found:?}"
    );
}

#[test]
fn all_shapes_of_an_error_are_read() {
    for body in [
        r#"{"error_msg":"Backend timeout","error_code":"APIG.0203","request_id":"1"}"#,
        r#"{"errorMsg":"Backend timeout","errorCode":"APIG.0203"}"#,
        r#"{"message":"Backend timeout","code":"APIG.0203"}"#,
        r#"{"error":{"message":"Backend timeout","code":"APIG.0203"}}"#,
        r#"{"request_id":"1","error":{"error_msg":"x","error_code":"APIG.0203"}}"#,
        r#"{"code":504,"error_code":"APIG.0203","encoded_authorization_message":"x"}"#,
        r#"{"error_code":"APIG.0203","error_msg":{"not":"a text"}}"#,
        "  {\"error_code\":\"APIG.0203\"}\r\n",
    ] {
        let error = GatewayError::read(504, body.as_bytes()).unwrap();
        assert_eq!(error.code, "APIG.0203", "{body}");
        assert_eq!(error.meaning, Meaning::BackendTimeout, "{body}");
    }
}

#[test]
fn what_is_not_an_error_of_the_gateway_is_left_alone() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(50_000), "1");
    let huge = answer("APIG.0301", &"x".repeat(GatewayError::LONGEST_BODY));
    let long = answer(&format!("APIG.{}", "1".repeat(40)), "");
    let bodies: [&[u8]; 20] = [
        b"",
        b"null",
        b"\"APIG.0301\"",
        b"[{\"error_code\":\"APIG.0301\"}]",
        b"<html>APIG.0301</html>",
        b"{\"error_code\":\"APIG.0301\"",
        b"{\"error_code\":\"APIG.0301\"} trailing",
        b"{\"error_code\":\"APIG.0301\",\"error_msg\":\"\xff\"}",
        b"{\"error_code\":301}",
        b"{\"error_code\":[\"APIG.0301\"]}",
        b"{\"error_code\":\"APIG.\"}",
        b"{\"error_code\":\"APIG.03 01\"}",
        b"{\"error_code\":\"APIG.0301\\r\\nx: y\"}",
        b"{\"error_code\":\"PROXY.body_too_large\"}",
        b"{\"error_code\":\"MyAPIG.0301\"}",
        b"{\"a\":{\"error\":{\"error_code\":\"APIG.0301\"}}}",
        b"{\"error\":[{\"error_code\":\"APIG.0301\"}]}",
        deep.as_bytes(),
        &huge,
        &long,
    ];
    for body in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]);
        assert_eq!(GatewayError::read(401, body), None, "{start}");
    }
    assert_eq!(
        GatewayError::read(200, &answer("APIG.0301", "Unauthorized")),
        None
    );
}

#[test]
fn only_what_may_lock_the_key_is_a_signature_failure() {
    let failures = [
        Meaning::SignatureMismatch { echoed: None },
        Meaning::Expired {
            signed: None,
            server: None,
        },
        Meaning::KeyLocked,
    ];
    assert!(failures.iter().all(Meaning::is_signature_failure));
    for other in [
        Meaning::UnknownKey,
        Meaning::Unauthorized,
        Meaning::InvalidToken,
        Meaning::Other,
    ] {
        assert!(!other.is_signature_failure(), "{other:?}");
    }
}

#[test]
fn an_echo_is_not_shown_in_debug_output() {
    let ours = canonical();
    let message = format!(
        "verify aksk signature fail, canonicalRequest:{}",
        echoed(&ours)
    );
    let error = GatewayError::read(401, &answer("APIG.0301", &message)).unwrap();
    let context = Context {
        canonical_request: Some(&ours),
        ..Context::default()
    };
    let shown = format!("{error:?} {context:?}");
    assert!(
        !shown.contains(TOKEN) && !shown.contains("infers"),
        "{shown}"
    );
    assert!(shown.contains("redacted"), "{shown}");
}
