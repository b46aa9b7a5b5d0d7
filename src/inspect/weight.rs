//! How much memory an entry takes: every allocation, with what the allocator adds.

use std::time::Duration;

use super::entry::{Attempt, Body, Entry};
use super::note::AttemptTimes;

/// What an allocation costs besides its bytes, and what an entry costs in the indexes of the store.
const ALLOCATION: usize = 16;
const INDEXES: usize = 256;

impl Entry {
    /// The memory that the entry takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let begun = self.start.as_ref();
        let routed = self.routed.as_ref();
        let ended = self.ended.as_ref();
        let bodies = self.bodies().iter();
        size_of::<Self>()
            + INDEXES
            + begun.map_or(0, |begun| boxed(&**begun) + block(begun.head.0.len()))
            + routed.map_or(0, |routed| {
                let texts = [&routed.upstream, &routed.stage, &routed.body_hash];
                boxed(&**routed) + strings(&texts)
            })
            + block(self.attempts.capacity() * size_of::<Attempt>())
            + self.attempts.iter().map(Attempt::weight).sum::<usize>()
            + self.relayed.as_ref().map_or(0, |relayed| {
                let texts = [
                    &relayed.code,
                    &relayed.message,
                    &relayed.hint,
                    &relayed.gateway_request_id,
                ];
                boxed(&**relayed) + block(relayed.head.0.len()) + strings(&texts)
            })
            + ended.map_or(0, |ended| {
                let times = ended.times.attempts.capacity();
                boxed(&**ended) + block(times * size_of::<AttemptTimes>())
            })
            + bodies.map(Body::weight).sum::<usize>()
    }
}

impl Attempt {
    fn weight(&self) -> usize {
        let sent = self.sent.as_ref().map_or(0, |sent| {
            let target = sent.signed_target.as_ref().map_or(0, |target| target.len());
            boxed(&**sent) + block(sent.head.0.len()) + block(target)
        });
        let response = self.response.as_ref().map_or(0, |(_, response)| {
            let texts = [&response.code, &response.echo];
            boxed(&**response) + block(response.head.0.len()) + strings(&texts)
        });
        sent + response
    }
}

impl Body {
    fn weight(&self) -> usize {
        block(self.bytes.capacity()) + block(self.marks.capacity() * size_of::<(u32, Duration)>())
    }
}

/// What an allocation of this size takes.
fn block(size: usize) -> usize {
    if size == 0 { 0 } else { size + ALLOCATION }
}

fn boxed<T>(value: &T) -> usize {
    block(size_of_val(value))
}

fn strings(texts: &[&String]) -> usize {
    texts.iter().map(|text| block(text.capacity())).sum()
}
