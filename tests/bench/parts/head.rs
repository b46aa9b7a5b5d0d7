//! Heads, rewritten for the gateway.

use std::hint::black_box;

use apig_proxy::proxy::pass_request;
use criterion::Criterion;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What curl sends.
const SHORT: &str = "Host: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*";

/// What a browser sends.
const LONG: &str = "Host: localhost:8080\r\nConnection: keep-alive\r\n\
    Content-Length: 0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nContent-Type: application/json\r\n\
    sec-ch-ua-mobile: ?0\r\nAccept: */*\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n\
    Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: http://localhost:3000/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(text: &str) -> HeaderMap {
    let lines = text
        .split("\r\n")
        .map(|line| line.split_once(": ").unwrap());
    lines
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

pub(super) fn rewriting(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    for (name, text) in [("short", SHORT), ("long", LONG)] {
        let headers = headers(text);
        group.bench_function(format!("rewrite/{name}"), |b| {
            b.iter(|| {
                let mut passed = HeaderMap::with_capacity(headers.len() + 12);
                pass_request(black_box(&headers), &mut passed);
                passed
            })
        });
    }
    group.finish();
}
