//! What a signature costs, and how fast a body is hashed.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::hint::black_box;

use apig_proxy::signature::{
    CanonicalRequest, Payload, PayloadHash, PayloadHasher, Signer, SigningDate, Target,
    respell_query,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PATH: &str = "/v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53";
const HOST: &str = "63fb035aeef34368880448a94cb7f440.apig.cn-north-4.huaweicloudapis.com";
const HEADERS: [(&str, &str); 2] = [("host", HOST), ("x-stage", "RELEASE")];

fn signing(c: &mut Criterion) {
    let date = SigningDate::parse("20261123T080000Z").unwrap();
    let signer = Signer::new(
        "QTWAOYTTINDUT2QVKYUC",
        &"MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc".into(),
    );
    let with_query =
        format!("{PATH}?limit=10&marker=13551d6b-755d-4757-b956-536f674975c0&q=caf%C3%A9");
    let body = PayloadHash::of(b"{\"a\":1}");
    let mut group = c.benchmark_group("signature");
    for (name, method, target, hash) in [
        ("post", "POST", PATH, &body),
        (
            "get_with_query",
            "GET",
            with_query.as_str(),
            &PayloadHash::EMPTY,
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let target = Target::parse(black_box(target)).unwrap();
                let request =
                    CanonicalRequest::new(method, target, &HEADERS, &date, Payload::Hash(hash))
                        .unwrap();
                signer.sign(&request)
            });
        });
    }
    group.bench_function("canonical_request_hash", |b| {
        let target = Target::parse(PATH).unwrap();
        let request =
            CanonicalRequest::new("POST", target, &HEADERS, &date, Payload::Hash(&body)).unwrap();
        b.iter(|| black_box(&request).hash());
    });
    group.bench_function("respell_query", |b| {
        b.iter(|| respell_query(black_box("q=x+y;z&a[]=1&limit=10")))
    });
    group.bench_function("date", |b| {
        b.iter(|| SigningDate::from_unix_seconds(black_box(1_795_507_200)))
    });
    group.finish();
}

fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("payload");
    group.sample_size(20);
    for (name, size) in [("1_KiB", 1024), ("12_MiB", 12 * 1024 * 1024)] {
        let body = vec![7_u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut hasher = PayloadHasher::default();
                // In pieces of the size in which bodies arrive.
                black_box(&body)
                    .chunks(64 * 1024)
                    .for_each(|piece| hasher.update(piece));
                hasher.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, signing, hashing);
criterion_main!(benches);
