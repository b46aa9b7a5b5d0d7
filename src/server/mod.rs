//! The server that callers connect to: hyper on TCP, TLS and unix sockets.
//!
//! `setup` binds the addresses, and `running` serves, reloads and drains. One thread accepts
//! (`accept`) and hands each connection to one worker (`worker`): a single-threaded runtime with its own
//! pipeline and its own connections to the gateway, so that nothing on the way of a request is locked or
//! moved between threads. Measured on two cores against one multi-threaded runtime, that gives 30 to 40 %
//! more requests per second. `connection` serves one connection, `service` accounts for the requests
//! on it, `registry` knows all connections of a worker and closes those that take too long. `admin`
//! serves health and metrics.
//!
//! # What can go wrong
//!
//! Callers may be silent, slow, or never read. hyper has no limits for that which fit, so the
//! registry applies them once a second. When connections are short, the longest idle ones are closed.
//! Accepting fails while the process has no file descriptors left; it waits a moment and goes on.
//! Draining has a limit, since a caller may never read to the end of its answer.

mod accept;
mod activation;
mod admin;
mod builders;
mod connection;
mod io;
mod linger;
mod memory;
mod protocol;
mod registry;
mod reload;
mod running;
mod service;
mod setup;
mod sockets;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;
mod tracked;
mod transport;
mod unix;
mod watchdog;
mod worker;

pub(crate) use admin::QUIT_IS_OFF;
pub use reload::{NewConfig, Reloader};
pub use running::{DrainOutcome, ServeError};
pub use setup::{Server, SetupError, network};
pub use sockets::{BindError, Listeners};
pub use supervisor::{Supervisor, SupervisorError};
pub use tls::{ServerTls, ServerTlsError};
