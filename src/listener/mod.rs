//! Where callers come in: sockets, worker threads, and how both end.
//!
//! One thread accepts and hands each connection to the worker that has the fewest. A worker is a
//! single-threaded runtime with its own pipeline and its own pool of upstream connections, so that
//! nothing on the way of a request is locked or moved between threads. Measured on two cores against
//! one multi-threaded runtime, that gives 30 to 40 % more requests per second.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left; that must neither end the listener
//! nor make it spin, so it waits a moment. A caller that speaks TLS may take its time for the handshake, so
//! that is the worker's business, with a limit. A caller that never closes its end must not hold up the end
//! of the process: draining has a limit.

mod accepting;
mod admin;
mod closing;
mod connection;
mod exchange;
mod memory;
mod passed;
mod presence;
mod pulse;
mod running;
mod server;
mod sockets;
mod supervisor;
mod tls;
mod unix;
mod workers;
mod writing;

pub use running::{Fresh, Reloader};
pub use server::{Ended, ServeError, Server, SetupError, network};
pub use sockets::{BindError, Listeners};
pub use supervisor::{Supervisor, SupervisorError};
pub use tls::{ServerTls, ServerTlsError};
