//! What is signed, the gateway's own check accepts, whichever way it reads `+` and `;`.
//!
//! The input is a target; lines after it are the method, the value of `x-stage` and the body.

use std::time::Duration;

use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, ReceivedRequest, Refusal, Signer,
    SigningDate, Target, UNSIGNED_PAYLOAD, normalize_query, verify,
};

const ACCESS_KEY: &str = "AKTEST0000000000TEST";
const DATE: &str = "20261123T080000Z";

struct Request<'a> {
    method: &'a str,
    stage: &'a str,
    target: String,
    body: &'a [u8],
}

pub(crate) fn target(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = |absent| lines.next().map_or(Ok(absent), str::from_utf8);
    let (Ok(target), Ok(method), Ok(stage)) = (line(""), line("GET"), line("RELEASE")) else {
        return;
    };
    let body = lines.next().unwrap_or_default();
    let Ok(parsed) = Target::parse(target) else {
        return;
    };
    let outgoing = outgoing(parsed);
    check_spelling(target, &outgoing);
    let request = Request {
        method,
        stage,
        target: outgoing,
        body,
    };
    check_signature(&request, true);
    // Without a body there is nothing that could be left unsigned.
    if !body.is_empty() {
        check_signature(&request, false);
    }
}

/// The target as the proxy sends it.
fn outgoing(target: Target<'_>) -> String {
    let query = target
        .query()
        .map(|query| format!("?{}", normalize_query(query)));
    format!("{}{}", target.path(), query.unwrap_or_default())
}

fn check_spelling(target: &str, outgoing: &str) {
    let split = |text: &'_ str| {
        text.split_once('?')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    match (split(target), split(outgoing)) {
        (None, None) => assert_eq!(target, outgoing),
        (Some((path, query)), Some((path_sent, query_sent))) => {
            assert_eq!(path, path_sent);
            assert_eq!(query.replace('+', "%20").replace(';', "%3B"), query_sent);
        }
        _ => panic!("the query is gone, or comes from nowhere"),
    }
}

fn check_signature(request: &Request<'_>, is_body_signed: bool) {
    let Some(authorization) = signed(request, is_body_signed) else {
        assert!((request.method, request.stage) != ("GET", "RELEASE"));
        return;
    };
    let verified = |target: &str, body: &[u8]| {
        let mut headers: Vec<(&str, &[u8])> = vec![
            ("Host", b"gateway.example"),
            ("x-stage", request.stage.as_bytes()),
            ("X-Sdk-Date", DATE.as_bytes()),
            ("authorization", authorization.as_bytes()),
        ];
        if !is_body_signed {
            headers.push(("x-sdk-content-sha256", UNSIGNED_PAYLOAD.as_bytes()));
        }
        let received = ReceivedRequest {
            method: request.method,
            target,
            headers: &headers,
            body: &PayloadHash::new(body),
        };
        verify(&received, |_| Some(signer()), &date(), Duration::ZERO)
    };
    for target in readings(&request.target) {
        let verified =
            verified(&target, request.body).unwrap_or_else(|refusal| panic!("{target}: {refusal}"));
        assert_eq!(verified.access_key, ACCESS_KEY);
        assert_eq!(verified.body_signed, is_body_signed);
    }
    match verified(&request.target, b"another body than any that is tried") {
        Ok(verified) => assert!(!is_body_signed && !verified.body_signed),
        Err(refusal) => assert!(is_body_signed && matches!(refusal, Refusal::Mismatch { .. })),
    }
}

/// The value of `Authorization`. `None` for methods and stages that cannot be signed.
fn signed(request: &Request<'_>, is_body_signed: bool) -> Option<String> {
    let target = Target::parse(&request.target).expect("what is normalized can still be sent");
    let (date, hash) = (date(), PayloadHash::new(request.body));
    let payload = if is_body_signed {
        Payload::Hash(&hash)
    } else {
        Payload::Declared(UNSIGNED_PAYLOAD)
    };
    let headers = [("host", "gateway.example"), ("x-stage", request.stage)];
    let algorithm = Algorithm::HmacSha256;
    let canonical =
        CanonicalRequest::new(algorithm, request.method, target, &headers, &date, payload).ok()?;
    assert!(canonical.to_string().is_ascii());
    Some(signer().sign(&canonical))
}

/// A target as it is, and as those read it for whom `+` is a blank and `;` ends a pair.
fn readings(target: &str) -> [String; 2] {
    let normalized = |query: &str| query.replace('+', "%20").replace(';', "&");
    let as_form = target.split_once('?').map_or_else(
        || target.to_owned(),
        |(path, query)| format!("{path}?{}", normalized(query)),
    );
    [target.to_owned(), as_form]
}

fn signer() -> Signer {
    Signer::new(ACCESS_KEY, &"SKTEST".into())
}

fn date() -> SigningDate {
    SigningDate::parse(DATE).expect("the date is one")
}
