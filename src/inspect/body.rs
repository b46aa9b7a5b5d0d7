//! The beginning of a body, and when its pieces arrived. Hidden values and decoding make what is kept
//! longer or shorter than what passed, so the two lengths do not tell whether it is complete.

use std::time::Duration;

use super::note::BodyPart;

/// The most pieces whose time is kept.
const MAX_MARKS: usize = 4096;

/// The beginning of a body.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Where each piece ends, and when it arrived.
    pub(super) marks: Vec<(u32, Duration)>,
    /// How many bytes passed, whether kept or not.
    pub(super) total: u64,
    /// True if a piece is missing.
    pub(super) is_broken: bool,
    is_cut: bool,
}

impl Body {
    /// Adds a piece.
    pub(super) fn add(&mut self, at: Duration, part: &BodyPart) {
        self.total = self.total.saturating_add(part.length);
        self.is_cut |= part.is_cut;
        if part.kept.is_empty() || self.is_broken {
            return;
        }
        self.bytes.extend_from_slice(&part.kept);
        if self.marks.len() == MAX_MARKS {
            self.marks.pop();
        }
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.marks.push((end, at));
    }

    /// Ends the body, of which this many bytes passed.
    pub(super) fn end(&mut self, passed: u64) {
        self.is_broken |= self.total < passed;
        self.total = self.total.max(passed);
        self.bytes.shrink_to_fit();
        self.marks.shrink_to_fit();
    }

    /// Drops what is kept, and everything that follows.
    pub(super) fn give_up(&mut self) {
        self.is_broken = true;
        self.bytes = Vec::new();
        self.marks = Vec::new();
    }

    /// True if all that passed is kept, hidden values aside.
    pub(super) fn is_whole(&self) -> bool {
        self.total == 0 || !(self.is_broken || self.is_cut || self.bytes.is_empty())
    }
}
