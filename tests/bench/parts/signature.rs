//! The signature, and the steps on the way to it.

use std::hint::black_box;

use apig_proxy::signature::{
    CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target, normalize_query,
};
use criterion::Criterion;

const PATH: &str = "/v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53";
const WITH_QUERY: &str = "/v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53\
    ?limit=10&marker=13551d6b-755d-4757-b956-536f674975c0&q=caf%C3%A9";
const HOST: &str = "63fb035aeef34368880448a94cb7f440.apig.cn-north-4.huaweicloudapis.com";
const HEADERS: [(&str, &str); 2] = [("host", HOST), ("x-stage", "RELEASE")];

/// Each kind of request: its name, method and target.
const REQUESTS: [(&str, &str, &str); 2] = [
    ("post", "POST", PATH),
    ("get_with_query", "GET", WITH_QUERY),
];

fn date() -> SigningDate {
    SigningDate::parse("20261123T080000Z").unwrap()
}

/// Puts the canonical request of a target together.
fn canonical<'a>(method: &'a str, target: &'a str, date: &'a SigningDate) -> CanonicalRequest<'a> {
    let target = Target::parse(target).unwrap();
    let payload = Payload::Hash(&PayloadHash::EMPTY);
    CanonicalRequest::new(method, target, &HEADERS, date, payload).unwrap()
}

pub(super) fn canonical_request(c: &mut Criterion) {
    let date = date();
    let mut group = c.benchmark_group("canonical_request");
    for (name, method, target) in REQUESTS {
        group.bench_function(format!("made/{name}"), |b| {
            b.iter(|| canonical(method, black_box(target), &date).hash())
        });
        let request = canonical(method, target, &date);
        group.bench_function(format!("hashed/{name}"), |b| {
            b.iter(|| black_box(&request).hash())
        });
    }
    group.finish();
}

pub(super) fn query(c: &mut Criterion) {
    let mut group = c.benchmark_group("query");
    let many = (0..100).map(|number| format!("name{number}=caf%C3%A9+{number}&"));
    let many: String = many.collect();
    for (name, query) in [
        (
            "stays",
            "limit=10&marker=13551d6b-755d-4757-b956-536f674975c0",
        ),
        ("normalized", "q=x+y;z&a[]=1&limit=10"),
        ("100_pairs", many.as_str()),
    ] {
        group.bench_function(name, |b| b.iter(|| normalize_query(black_box(query))));
    }
    group.finish();
}

pub(super) fn signing(c: &mut Criterion) {
    let date = date();
    let signer = Signer::new(
        "QTWAOYTTINDUT2QVKYUC",
        &"MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc".into(),
    );
    let mut group = c.benchmark_group("signature");
    for (name, method, target) in REQUESTS {
        group.bench_function(name, |b| {
            b.iter(|| signer.sign(&canonical(method, black_box(target), &date)))
        });
    }
    group.bench_function("date", |b| {
        b.iter(|| SigningDate::from_unix_seconds(black_box(1_795_507_200)))
    });
    group.finish();
}
