//! Heads: read, and rewritten for the gateway.

use std::hint::black_box;

use apig_proxy::http1::RequestHead;
use apig_proxy::proxy::pass_unowned;
use bytes::Bytes;
use criterion::Criterion;

/// What curl sends.
const SHORT: &str = "GET /v1/items HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

/// What a browser sends.
const LONG: &str = "POST /v1/items?limit=10 HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\
    Content-Length: 0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nContent-Type: application/json\r\n\
    sec-ch-ua-mobile: ?0\r\nAccept: */*\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n\
    Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: http://localhost:3000/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";

pub(super) fn rewriting(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    for (name, text) in [("short", SHORT), ("long", LONG)] {
        let bytes = Bytes::from_static(text.as_bytes());
        group.bench_function(format!("read/{name}"), |b| {
            b.iter(|| RequestHead::parse(black_box(&bytes)).unwrap())
        });
        let head = RequestHead::parse(&bytes).unwrap();
        group.bench_function(format!("rewrite/{name}"), |b| {
            b.iter(|| {
                let mut out = Vec::with_capacity(1024);
                pass_unowned(black_box(&head.fields), &mut out);
                out
            })
        });
    }
    group.finish();
}
