//! The limits of bodies, and `large_body = "token"`: a body that is too long for a signature is streamed with a token.

use apig_proxy::config::{AuthMode, Config, LargeBody};
use tempfile::TempDir;

use super::modes::{CARRIES, shown_as};
use crate::support::{
    Answer, Proxy, Received, SOCKET_TIMEOUT, Upstream, chunked, post, request, route,
};

const TOKEN: &str = "MIITOKENtoken0123456789";

/// Longest body that is signed, and longest one that goes out with a token.
const BODY: usize = 1000;
const LARGE: usize = 200_000;

/// A configuration with these limits, and the folder of the secret.
fn limited(upstream: &Upstream, mode: AuthMode, large_body: LargeBody) -> (Config, TempDir) {
    let (mut config, folder) = shown_as(upstream, mode, TOKEN);
    config.routes[0].large_body = large_body;
    config.limits.body = BODY as u64;
    config.limits.large_body = LARGE as u64;
    (config, folder)
}

fn with_token(upstream: &Upstream, unknown: bool) -> (Config, TempDir) {
    limited(upstream, AuthMode::AkSk, LargeBody::Token { unknown })
}

fn has_token(seen: &Received) {
    assert_eq!(seen.header("x-auth-token"), TOKEN);
    seen.assert_without(&["authorization", "x-sdk-date", "x-sdk-content-sha256"]);
}

fn is_signed(seen: &Received) {
    seen.assert_without(&["x-auth-token"]);
    assert!(seen.verified().body_signed);
}

fn is_too_large(answer: &Answer, limit: usize, advice: &str) {
    answer.assert_refused(413, "body_too_large");
    answer.assert_says(&format!(
        "larger than {limit} bytes\\nhint: send a smaller one, or {advice}"
    ));
}

#[test]
fn a_body_up_to_the_limit_is_signed_and_a_longer_one_goes_out_with_a_token() {
    let upstream = Upstream::start();
    let (config, _folder) = with_token(&upstream, false);
    let proxy = Proxy::start(&config);
    for length in [0, 1, BODY, BODY + 1, LARGE] {
        proxy.passes(post("application/json", &vec![b'a'; length]));
    }
    let [empty, short, longest, longer, large] = upstream.requests().try_into().unwrap();
    for seen in [&empty, &short, &longest] {
        is_signed(seen);
    }
    for (seen, length) in [(longer, BODY + 1), (large, LARGE)] {
        has_token(&seen);
        assert_eq!(seen.body.len(), length);
        assert_eq!(seen.header("content-length"), length.to_string());
    }
}

#[test]
fn a_body_over_the_limit_of_its_mode_is_refused_at_once_with_advice() {
    const RAISE: &str = "raise `limits.large_body_max`";
    const SET: &str = "set `limits.large_body = ";
    let token = |unknown| LargeBody::Token { unknown };
    for (mode, large_body, limit, advice) in [
        (AuthMode::AkSk, token(false), LARGE, RAISE),
        (AuthMode::AkSk, token(true), LARGE, RAISE),
        (AuthMode::AkSk, LargeBody::Reject, BODY, SET),
        (AuthMode::Token, LargeBody::Reject, BODY, SET),
        (
            AuthMode::AppCode,
            LargeBody::Reject,
            BODY,
            "raise `limits.body`",
        ),
        (
            AuthMode::ApiKey,
            LargeBody::Reject,
            BODY,
            "raise `limits.body`",
        ),
    ] {
        let upstream = Upstream::start();
        let (config, _folder) = limited(&upstream, mode, large_body);
        let proxy = Proxy::start(&config);
        // Only the head is sent: the refusal does not wait for the body.
        let fields = format!("Content-Length: {}|Expect: 100-continue", limit + 1);
        let refused = proxy.exchange(request("POST /", &fields, ""));
        is_too_large(refused.about(mode), limit, advice);
        assert_eq!(upstream.connections(), 0);
        proxy.passes(post("text/plain", &vec![b'a'; limit]));
    }
}

#[test]
fn a_body_without_a_signature_is_streamed_and_needs_no_buffer() {
    let long = (post("application/json", &[b'a'; LARGE]), LARGE);
    let chunks = chunked("application/json", &[b"abc", b"de"]);
    let chunks = (chunks, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".len());
    let token = LargeBody::Token { unknown: true };
    let modes = CARRIES.map(|(mode, ..)| (mode, LargeBody::Reject));
    for (mode, large_body) in modes.into_iter().chain([(AuthMode::AkSk, token)]) {
        for (request, length) in [&long, &chunks] {
            // The first byte of a body reaches the upstream before the caller has sent the last.
            let (upstream, first_arrived) = Upstream::telling(length - 1);
            let (mut config, _folder) = limited(&upstream, mode, large_body);
            config.limits.buffered = 1;
            if large_body == LargeBody::Reject {
                config.limits.body = LARGE as u64;
            }
            let proxy = Proxy::start(&config);
            let mut client = proxy.client();
            let (most, last) = request.split_at(request.len() - length / 2);
            client.send(most);
            let seen = first_arrived.recv_timeout(SOCKET_TIMEOUT);
            let seen = seen.unwrap_or_else(|_| panic!("{mode:?} was not streamed"));
            seen.assert_without(&["x-sdk-content-sha256"]);
            let is_chunked = !seen.all("transfer-encoding").is_empty();
            assert_eq!(is_chunked, *length != LARGE);
            if mode == AuthMode::AkSk {
                has_token(&seen);
            }
            client.send(last).answer().assert_status(200);
        }
    }
}

#[test]
fn a_body_of_unknown_length_is_hashed_unless_the_route_says_otherwise() {
    let upstream = Upstream::start();
    let (mut config, _folder) = with_token(&upstream, false);
    let mut long = route("/long", &upstream, "");
    long.large_body = LargeBody::Token { unknown: true };
    config.routes.insert(0, long);
    let proxy = Proxy::start(&config);
    let send = |path: &str, length: usize| {
        let request = chunked("application/json", &[b"a", &vec![b'a'; length - 1]]);
        let request = String::from_utf8(request).unwrap();
        proxy.exchange(request.replacen("/v1", path, 1))
    };
    send("/v1", BODY).assert_status(200);
    is_too_large(&send("/v1", BODY + 1), BODY, "declare its length");
    send("/long", BODY).assert_status(200);
    send("/long", LARGE).assert_status(200);
    let [hashed, short, large] = upstream.requests().try_into().unwrap();
    is_signed(&hashed);
    for (seen, length) in [(short, BODY), (large, LARGE)] {
        has_token(&seen);
        assert_eq!(seen.header("transfer-encoding"), "chunked");
        assert_eq!(seen.body.len(), length);
    }
}

#[test]
fn a_body_of_unknown_length_that_passes_the_limit_is_aborted() {
    let upstream = Upstream::start();
    let (config, _folder) = with_token(&upstream, true);
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let _ = client.try_send(chunked("text/plain", &[&vec![b'a'; LARGE], b"a"]));
    is_too_large(&client.answer(), LARGE, "raise `limits.large_body_max`");
    assert_eq!(upstream.requests().len(), 0, "it must not look complete");
}
