//! What each part of a request costs by itself: to find out which one became slower.
//!
//! `cargo bench --bench parts` measures all of them, and `cargo bench --bench parts -- NAME` those whose
//! names have NAME in them. What a request costs as a whole is for `instructions` to say, and what callers
//! notice for `run.sh`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

mod answer;
mod head;
mod payload;
mod signature;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    head::rewriting,
    signature::canonical_request,
    signature::query,
    signature::signing,
    payload::hashing,
    answer::making,
);
criterion_main!(benches);
