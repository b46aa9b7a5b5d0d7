//! Secrets that the gateway echoes: number 100.

use std::time::Duration;

use apig_proxy::config::AuthMode;
use tempfile::TempDir;

use crate::credentials::{CARRIES, shown_as};
use crate::support::{Proxy, Received, Upstream, pause, temporary_key};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n";
const SECRET: &str = "SECRET/MARKER+0123456789==";

/// The token of a temporary key.
const SIGNED: (AuthMode, &str, &str) = (AuthMode::AkSk, "x-security-token", "");

/// A proxy that sends the secret in this mode.
fn proxy(upstream: &Upstream, mode: AuthMode) -> (Proxy, TempDir) {
    let (config, folder) = shown_as(upstream, mode, SECRET);
    (Proxy::start_with(&config, &temporary_key(SECRET)), folder)
}

/// The secret as it was sent.
fn sent<'a>(seen: &'a Received, header: &str) -> &'a str {
    let value = seen.header(header);
    value.strip_prefix("Bearer ").unwrap_or(value)
}

/// Ways to write a secret.
fn spellings(secret: &str) -> Vec<String> {
    let each = |encode: fn(u8) -> String| secret.bytes().map(encode).collect::<String>();
    let escaped = |escapes: [&str; 3]| {
        let [slash, plus, equals] = escapes;
        let text = secret.replace('/', slash).replace('+', plus);
        text.replace('=', equals)
    };
    vec![
        secret.to_owned(),
        secret.replace('/', "\\/"),
        escaped(["%2F", "%2B", "%3D"]),
        escaped(["%2f", "%2b", "%3d"]),
        escaped(["%252F", "%252B", "%253D"]),
        secret.replace('/', "\\u002f").replace('=', "\\u003D"),
        secret.replace('/', "\\\\u002F"),
        secret.replace('/', "&#x2F;").replace('=', "&#61;"),
        each(|byte| format!("\\u{byte:04x}")),
        // An echo that is cut off.
        secret[..20].to_owned(),
    ]
}

#[test]
fn fault_100_secrets_of_every_mode_are_redacted_in_body_headers_reason_and_trailers() {
    for (mode, header, _) in [CARRIES.as_slice(), &[SIGNED]].concat() {
        for status in [400, 401, 403, 404, 500, 503] {
            let upstream = Upstream::scripted(move |seen, out| {
                let secret = sent(seen, header);
                write!(
                    out,
                    "HTTP/1.1 {status} no {secret}\r\nx-request-id: {secret}\r\nx-echo: a={secret}; b\r\nx-echo: {}\r\n\
                     trailer: x-trailer\r\ntransfer-encoding: chunked\r\n\r\n",
                    secret.replace('/', "%2F")
                )?;
                for spelled in spellings(secret) {
                    write!(out, "{:x}\r\n|{spelled}\r\n", spelled.len() + 1)?;
                }
                write!(out, "0\r\nx-trailer: {secret}\r\n\r\n")
            });
            let (proxy, _folder) = proxy(&upstream, mode);
            let answer = proxy.exchange(GET);
            answer.about((header, status)).assert_status(status);
            for part in ["MARKER", "SECRET", "0123456789"] {
                answer.assert_hides(part);
                assert!(!answer.line.contains(part), "{}", answer.line);
            }
            let stars = "*".repeat(SECRET.len());
            assert_eq!(answer.all("x-echo")[0], format!("a={stars}; b"));
            assert_eq!(answer.header("trailer x-trailer"), stars);
            let pieces = spellings(SECRET).into_iter();
            let redacted: String = pieces
                .map(|piece| format!("|{}", "*".repeat(piece.len())))
                .collect();
            assert_eq!(answer.text(), redacted);
        }
    }
}

#[test]
fn fault_100_a_secret_in_pieces_is_redacted_anywhere_in_a_long_body() {
    let upstream = Upstream::handling(|link| {
        while let Some(seen) = link.request()? {
            let secret = seen.header("x-security-token").replace('/', "\\u002f");
            // The filling is longer than what is read ahead.
            let filling = "x".repeat(70_000);
            let length = filling.len() + 2 * secret.len() + "||SECRET".len();
            link.send(format!(
                "HTTP/1.1 500 X\r\ncontent-length: {length}\r\n\r\n{secret}|{filling}"
            ))?;
            for byte in secret.as_bytes() {
                link.send([*byte])?;
                pause(Duration::from_millis(2));
            }
            // It may be the beginning of another one, until the body ends.
            link.send("|SECRET")?;
        }
        Ok(())
    });
    let (proxy, _folder) = proxy(&upstream, SIGNED.0);
    let mut client = proxy.client();
    let answer = client.send(GET).answer();
    let stars = "*".repeat(SECRET.len() + 5);
    let expected = format!("{stars}|{}{stars}|SECRET", "x".repeat(70_000));
    assert!(answer.text() == expected, "{:.100}", answer.text());
    // The declared length holds, so the connection is reusable.
    client.send(GET).answer().assert_status(500);
    assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
}

#[test]
fn fault_100_a_streamed_error_is_not_delayed() {
    let first = "HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst|\r\n";
    let (upstream, go_on) = Upstream::halting(first, "4\r\nlast\r\n0\r\n\r\n");
    let (proxy, _folder) = proxy(&upstream, SIGNED.0);
    let mut client = proxy.client();
    client.send(GET);
    client.until("HTTP/1.1 500", "first|");
    go_on.send(()).unwrap();
    client.until("\r\n", "0\r\n\r\n");
}
