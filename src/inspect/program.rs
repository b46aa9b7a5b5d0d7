//! The program that is inspected, as the inspector knows it: a state to show, and a way to send a
//! request as a caller does. It keeps the inspector from knowing the server.

use std::os::unix::net::UnixStream;

use serde::Serialize;

/// The program whose requests are inspected. It is asked on the inspector's thread.
pub(crate) trait Program: Send + Sync {
    /// Its state now.
    fn state(&self) -> ProgramState;

    /// Serves a connection that is open at its other end, over which one request comes.
    ///
    /// # Errors
    ///
    /// [`Busy`] if it takes no more connections.
    fn serve(&self, connection: UnixStream, replay: Replay) -> Result<(), Busy>;
}

/// The program takes no more connections: all permits are taken, or it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

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

/// The state of a program, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProgramState {
    /// Where callers connect, as a URL.
    pub(crate) proxy: String,
    /// `proxy` or `gateway`.
    pub(crate) kind: &'static str,
    pub(crate) credentials: Vec<CredentialState>,
    pub(crate) upstreams: Vec<UpstreamState>,
    /// Bytes of bodies that are held to be hashed.
    pub(crate) buffered: u64,
}

/// The state of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CredentialState {
    /// The name of its set.
    pub(crate) name: String,
    /// `key`, `token`, `app-code` or `api-key`.
    pub(crate) kind: String,
    pub(crate) is_good: bool,
    /// Seconds until it expires, if it does.
    pub(crate) left_s: Option<u64>,
    /// Requests with it are refused, so that the gateway does not lock it.
    pub(crate) is_locked: bool,
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
