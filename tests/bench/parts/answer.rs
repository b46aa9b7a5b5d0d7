//! The proxy's own answer to what went wrong: what a flood of bad requests costs.

use std::hint::black_box;

use apig_proxy::error::Error;
use apig_proxy::proxy::refused;
use criterion::Criterion;

pub(super) fn making(c: &mut Criterion) {
    let mut group = c.benchmark_group("error_answer");
    for (name, error) in [
        ("of_caller", Error::BadHost),
        ("of_gateway", Error::ConnectTimeout),
    ] {
        group.bench_function(name, |b| b.iter(|| refused("GET", black_box(&error))));
    }
    group.finish();
}
