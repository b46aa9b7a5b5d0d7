//! The beginning of a body, and when its pieces came.

use std::time::Duration;

/// The most pieces whose time is kept.
const MAX_MARKS: usize = 4096;

/// The beginning of a body.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Where each piece ends, and when it came.
    pub(super) marks: Vec<(u32, Duration)>,
    /// How many bytes passed, whether kept or not.
    pub(super) passed: u64,
}

impl Body {
    /// Adds a piece. `false` if one before it was lost; then nothing is added from there on.
    pub(super) fn add(&mut self, at: Duration, passed: u64, kept: &[u8], limit: usize) -> bool {
        let length = self.bytes.len();
        let is_contiguous = length as u64 == self.passed;
        let kept = &kept[..kept.len().min(limit.saturating_sub(length))];
        self.passed = self.passed.max(passed);
        if !is_contiguous || kept.is_empty() {
            return true;
        }
        let end = length + kept.len();
        // Only the piece that reaches the limit is cut.
        if passed != end as u64 && end != limit {
            return false;
        }
        self.bytes.extend_from_slice(kept);
        if self.marks.len() == MAX_MARKS {
            self.marks.pop();
        }
        self.marks
            .push((u32::try_from(end).unwrap_or(u32::MAX), at));
        true
    }
}
