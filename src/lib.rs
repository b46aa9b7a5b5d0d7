//! apig-proxy: unsigned HTTP in, signed HTTPS out.
//!
//! A request passes the modules in one direction; each step changes its type, so that a request
//! that was not signed cannot be sent:
//!
//! ```text
//!  server ───► proxy ────────────────────────────────────────► upstream
//!   sockets     guard ──► route ──► prepare ──► retry            pool
//!   hyper       caller    gateway   body        auth signs,      TLS
//!   workers     allowed?            hashed or   sends, maybe     hyper
//!                                   streamed    again │
//!   caller ◄──────────────────────── respond ◄── gateway_response ◄── response
//! ```
//!
//! [`credentials`] finds the secrets and refreshes them, [`gateway`] explains the refusals of the gateway, and
//! [`emulator`] is a gateway for tests and the demo. [`cli`] has a file for each subcommand.
//! `signing_mistakes` names what a signer did differently.
//! [`config`] is the only reader of the environment and of files, [`clock`] the only reader of the wall
//! clock, [`signature`] is pure and imports nothing of the rest, and [`error`] lists everything the
//! proxy itself can answer. [`server`] also answers health checks, with the metrics of
//! [`telemetry`].
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod emulator;
pub mod error;
pub mod escape;
pub mod gateway;
pub mod inspect;
mod lock;
pub mod proxy;
pub mod server;
pub mod signature;
mod signing_mistakes;
pub mod telemetry;
pub mod upstream;

pub use config::Config;
pub use server::Server;
pub use signature::Signer;
