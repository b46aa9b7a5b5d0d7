//! apig-proxy: unsigned HTTP in, signed HTTPS out.
//!
//! A request runs through the rooms in one direction; each step changes its type, so that a
//! request that was not signed cannot be sent:
//!
//! ```text
//!  listener ──► guard ──► proxy ───────────────────────────────────► upstream
//!   accepts      may       admit ──► head ──► payload ──► sign ──►    pool, TLS
//!   sockets      it?       route,    what     hashed or    at send       │
//!                          limits    leaves   streamed     time          ▼
//!   caller ◄───────────────────────────────── respond ◄────────────── answer
//! ```
//!
//! [`http1`] is the wire on both sides. [`config`] is the only reader of the environment and of files, [`clock`] the only reader of the
//! wall clock, [`signature`] is pure and knows nothing of the rest, and [`error`] lists everything
//! the proxy itself can answer. [`admin`] tells whether the proxy serves, and what [`telemetry`] has
//! counted.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod emulator;
pub mod error;
pub mod gateway_error;
pub mod guard;
pub mod http1;
pub mod listener;
pub mod proxy;
pub mod signature;
pub mod telemetry;
pub mod upstream;
pub mod visible;

pub use config::Config;
pub use listener::Server;
pub use proxy::Proxy;
pub use signature::Signer;
