//! What the observer of an emulated gateway learns of each request that was answered.

use bytes::Bytes;
use http::{Response, request};
use tokio::time::{Duration, Instant};

use crate::signature::PayloadHash;

/// The most bytes of a body that are kept.
const MAX_BODY: usize = 64 * 1024;

/// A request to the gateway, and its response.
#[derive(Debug)]
pub(crate) struct Observation {
    /// When the head was read.
    pub(crate) start: Instant,
    pub(crate) head: request::Parts,
    pub(crate) body: ReceivedBody,
    /// With [`Outcome`], and [`Canonical`] beside a refusal that quotes it.
    ///
    /// [`Outcome`]: super::Outcome
    /// [`Canonical`]: super::Canonical
    pub(crate) response: Response<Bytes>,
}

/// What was read of the body of a request.
#[derive(Debug, Default)]
pub(crate) struct ReceivedBody {
    /// Its beginning.
    pub(crate) kept: Vec<u8>,
    pub(crate) length: u64,
    /// Its hash, and how long after the head it was known; `None` if the body was refused.
    pub(crate) hashed: Option<(Duration, PayloadHash)>,
}

impl ReceivedBody {
    pub(super) fn add(&mut self, data: &[u8]) {
        let room = MAX_BODY.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.length += data.len() as u64;
    }
}
