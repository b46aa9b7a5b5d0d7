//! Each kind of credential identifies a caller, and is not forwarded.

use apig_proxy::config::Rights;
use apig_proxy::signature::{Algorithm, UNSIGNED_PAYLOAD};
use secrecy::ExposeSecret;

use super::{Signed, Stage};
use crate::support::{ANSWERED, Upstream, answer, request};

const STREAMED: &str = "Content-Type: multipart/form-data; boundary=x";
const V11: Algorithm<'_> = Algorithm::V11HmacSha256 {
    region: "cn-north-4",
    service: "iotdm",
};

/// A proxy that would forward a caller's `Authorization` if it were not removed.
fn stage() -> Stage {
    let upstream = Upstream::answering(answer("200 OK", "", ANSWERED));
    Stage::before(upstream, Rights::default(), |config| {
        let name = "x-original-authorization".parse().unwrap();
        config.routes[0].forward_authorization_as = Some(name);
    })
}

#[test]
fn a_token_in_either_header_and_a_capability_in_the_path_identify_a_caller() {
    let stage = stage();
    let token = stage.caller.token.expose_secret();
    let of_token = format!("X-Apig-Proxy-Token: {token}");
    let referer = format!("Referer: http://localhost{}", stage.path("/page"));
    let lower = stage.bearer().replace("Bearer", "bearer");
    let encoded = stage.path("/v1?a=b").replace('~', "%7E");
    let all = format!("{}|{of_token}", stage.bearer());
    for (target, fields) in [
        ("/v1?a=b".to_owned(), &stage.bearer()),
        ("/v1?a=b".to_owned(), &lower),
        ("/v1?a=b".to_owned(), &of_token),
        (stage.path("/v1?a=b"), &String::new()),
        (encoded, &String::new()),
        (stage.path("/v1?a=b"), &referer),
        (stage.path("/v1?a=b"), &all),
    ] {
        let line = format!("POST {target}");
        stage.proxy.passes(request(&line, fields, "{}"));
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!(seen.target(), "/v1?a=b", "{fields}");
        assert_eq!(&*seen.body, &b"{}"[..], "{fields}");
        stage.assert_clean(&seen);
        seen.assert_without(&["x-original-authorization", "x-apig-proxy-token"]);
    }
    // Another `Authorization` is for the backend.
    let fields = "Authorization: Basic own";
    stage
        .proxy
        .passes(request(&format!("GET {}", stage.path("/")), fields, ""));
    let seen = stage.upstream.requests().pop().unwrap();
    assert_eq!(seen.header("x-original-authorization"), "Basic own");
}

#[test]
fn a_signature_of_each_kind_identifies_a_caller_and_is_replaced() {
    let stage = stage();
    let signed = |line, body: &'static [u8]| Signed::new(&stage, line, body);
    let hash = signed("POST /v1", b"{\"a\":1}").hash();
    let declared = || Some(hash.as_str().to_owned());
    let (whole, chunks): (&[&[u8]], &[&[u8]]) = (&[], &[b"{\"a", b"\":1}"]);
    let post = |change: &dyn Fn(&mut Signed<'_>)| {
        let mut signed = signed("POST /v1", b"{\"a\":1}");
        change(&mut signed);
        signed
    };
    let unsigned = || Some(UNSIGNED_PAYLOAD.to_owned());
    let streamed_and_declared =
        |signed: &mut Signed<'_>| (signed.fields, signed.declared) = (STREAMED, declared());
    for (case, chunks) in [
        (signed("GET /v1/a%20b?q=1&p", b""), whole),
        (post(&|_| {}), whole),
        (post(&|_| {}), chunks),
        (post(&|signed| signed.algorithm = Algorithm::HmacSm3), whole),
        (post(&|signed| signed.algorithm = V11), whole),
        (post(&|signed| signed.declared = declared()), whole),
        (post(&|signed| signed.declared = unsigned()), whole),
        // Streamed, unless the body has to be checked.
        (post(&|signed| signed.fields = STREAMED), whole),
        (post(&|signed| signed.fields = STREAMED), chunks),
        (post(&streamed_and_declared), whole),
    ] {
        stage.proxy.passes(case.bytes_in(chunks));
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!(seen.target(), case.line.split_once(' ').unwrap().1);
        assert_eq!(seen.body, case.body);
        stage.assert_clean(&seen);
        seen.assert_without(&["x-original-authorization"]);
    }
}
