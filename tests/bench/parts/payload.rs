//! Hashing a body, from a small one to the longest that the gateway takes.

use std::hint::black_box;

use apig_proxy::signature::PayloadHasher;
use criterion::{Criterion, Throughput};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

pub(super) fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("payload");
    group.sample_size(20);
    for (name, size) in [
        ("100_B", 100),
        ("1_KiB", KIB),
        ("10_KiB", 10 * KIB),
        ("100_KiB", 100 * KIB),
        ("1_MiB", MIB),
        ("12_MiB", 12 * MIB),
    ] {
        let body = vec![7_u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut hasher = PayloadHasher::default();
                // In pieces of the size in which bodies arrive.
                black_box(&body)
                    .chunks(64 * KIB)
                    .for_each(|piece| hasher.update(piece));
                hasher.finish()
            });
        });
    }
    group.finish();
}
