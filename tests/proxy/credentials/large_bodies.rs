//! `large_body = "token"`: what is too long for a signature goes out with a token, streamed.

use apig_proxy::config::{AuthMode, Config, LargeBody};
use tempfile::TempDir;

use super::modes::shown_as;
use crate::support::{
    Answer, Proxy, Received, SOCKET_TIMEOUT, Upstream, chunked, post, request, route,
};

const TOKEN: &str = "MIITOKENtoken0123456789";

/// Longest body that is signed, and longest one that goes out with a token.
const BODY: usize = 1000;
const LARGE: usize = 200_000;

/// A configuration that sends long bodies with a token, and the folder of the token.
fn with_token(upstream: &Upstream, large_body: LargeBody) -> (Config, TempDir) {
    let (mut config, folder) = shown_as(upstream, AuthMode::default(), TOKEN);
    config.routes[0].large_body = large_body;
    config.limits.body = BODY as u64;
    config.limits.large_body = LARGE as u64;
    (config, folder)
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
    let (config, _folder) = with_token(&upstream, LargeBody::Token { unknown: false });
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
fn beyond_the_longest_body_it_is_refused_at_once() {
    let upstream = Upstream::start();
    let token = |unknown| LargeBody::Token { unknown };
    for (large_body, limit, advice) in [
        (token(false), LARGE, "raise `limits.large_body_max`"),
        (token(true), LARGE, "raise `limits.large_body_max`"),
        (LargeBody::Reject, BODY, "set `limits.large_body = "),
    ] {
        let (config, _folder) = with_token(&upstream, large_body);
        let proxy = Proxy::start(&config);
        // Only the head is sent: nothing of the body is waited for.
        let fields = format!("Content-Length: {}|Expect: 100-continue", limit + 1);
        let refused = proxy.exchange(request("POST /", &fields, ""));
        is_too_large(&refused, limit, advice);
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_body_of_unknown_length_is_hashed_unless_the_route_says_otherwise() {
    let upstream = Upstream::start();
    let (mut config, _folder) = with_token(&upstream, LargeBody::Token { unknown: false });
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
fn a_body_of_unknown_length_that_turns_out_too_long_is_broken_off() {
    let upstream = Upstream::start();
    let (config, _folder) = with_token(&upstream, LargeBody::Token { unknown: true });
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let _ = client.try_send(chunked("text/plain", &[&vec![b'a'; LARGE], b"a"]));
    is_too_large(&client.answer(), LARGE, "raise `limits.large_body_max`");
    assert_eq!(upstream.requests().len(), 0, "it must not look complete");
}

#[test]
fn a_large_body_is_passed_on_before_it_is_complete() {
    let (upstream, first_arrived) = Upstream::telling(LARGE - 1);
    let (mut config, _folder) = with_token(&upstream, LargeBody::Token { unknown: false });
    // Room for nothing: what is streamed needs none.
    config.limits.buffered = 1;
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let request = post("application/json", &[b'a'; LARGE]);
    let (most, last) = request.split_at(request.len() - 1);
    client.send(most);
    let seen = first_arrived.recv_timeout(SOCKET_TIMEOUT);
    has_token(&seen.expect("nothing was passed on"));
    client.send(last).answer().assert_status(200);
}
