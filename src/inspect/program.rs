//! The interface to the program that is inspected: a state to show, and a way to send a request as a
//! caller does. The inspector does not depend on the server.

use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde_json::Value;

/// The program whose requests are inspected, as called on the inspector's thread.
pub(crate) trait Program: Send + Sync {
    /// Its state now, an object without secrets: where callers connect (`proxy`), `proxy` or
    /// `gateway` (`kind`), its `credentials` and `upstreams`, and the bytes of bodies that are held to
    /// be hashed (`buffered`).
    fn state(&self) -> Value;

    /// Serves a connection that is open at its other end, over which one request comes. False if it
    /// takes no more connections: all permits are taken, or it stops.
    fn serve(&self, connection: UnixStream, replay: Replay) -> bool;
}

/// What is known beforehand of a request that the inspector sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// The id that the request gets.
    pub(crate) id: u128,
    /// The request that it repeats.
    pub(crate) original: Option<u128>,
    /// Index of the route that takes it, whatever its path: that of the listener of the request that it
    /// repeats.
    pub(crate) route: Option<usize>,
}

/// The state of the connections to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UpstreamState {
    pub(crate) name: String,
    pub(crate) idle: usize,
    pub(crate) active: usize,
    /// Seconds by which its clock is ahead of this machine's.
    pub(crate) clock_offset_s: i64,
}
