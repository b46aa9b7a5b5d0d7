//! How much memory an entry takes: every allocation, with what the allocator adds.

use std::time::Duration;

use super::entry::{Attempt, Entry};
use super::note::AttemptTimes;

/// What an allocation costs besides its bytes, and what an entry costs in the indexes of the store.
const ALLOCATION: usize = 16;
const INDEXES: usize = 256;

impl Entry {
    /// The memory that the entry takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let mut sum = size_of::<Self>() + INDEXES;
        let mut add = |sizes: &[usize]| {
            let blocks = sizes.iter().filter(|size| **size > 0);
            sum += blocks.map(|size| size + ALLOCATION).sum::<usize>();
        };
        add(&[size_of_val(&*self.start), self.start.head.0.len()]);
        if let Some(routed) = self.routed.as_deref() {
            add(&[size_of_val(routed)]);
            add(&[&routed.caller, &routed.upstream].map(String::capacity));
            add(&[&routed.stage, &routed.body_hash].map(String::capacity));
        }
        add(&[self.attempts.capacity() * size_of::<Attempt>()]);
        for attempt in &self.attempts {
            if let Some(sent) = attempt.sent.as_deref() {
                let target = sent.signed_target.as_ref().map_or(0, |target| target.len());
                add(&[size_of_val(sent), sent.head.0.len(), target]);
            }
            if let Some((_, response)) = &attempt.response {
                add(&[size_of_val(&**response), response.head.0.len()]);
                add(&[&response.code, &response.echo].map(String::capacity));
            }
        }
        if let Some(relayed) = self.relayed.as_deref() {
            add(&[size_of_val(relayed), relayed.head.0.len()]);
            add(&[&relayed.code, &relayed.message].map(String::capacity));
            add(&[&relayed.hint, &relayed.gateway_request_id].map(String::capacity));
        }
        if let Some(ended) = self.ended.as_deref() {
            let times = ended.times.attempts.capacity() * size_of::<AttemptTimes>();
            add(&[size_of_val(ended), times]);
        }
        for body in &self.bodies {
            let marks = body.marks.capacity() * size_of::<(u32, Duration)>();
            add(&[body.bytes.capacity(), marks]);
        }
        sum
    }
}
