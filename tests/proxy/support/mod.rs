//! What the tests run between: a certificate authority, a raw upstream, a raw client, and the proxy.

mod authority;
mod client;
mod exposition;
mod http2;
mod network;
mod program;
mod proxy;
mod received;
mod scene;
mod upstream;

pub(crate) use authority::{Flaw, Identity, Issuer, asking, flawed, issuer, root_pem};
pub(crate) use client::{Answer, Client, chunked, get, in_chunks, post, request};
pub(crate) use exposition::Exposition;
pub(crate) use http2::{Exchange, Gateway, GatewayFrames, Order, Plan, frames, send_all};
pub(crate) use network::{Addresses, BlackHole, NAME, network, refusing, upstream_tls};
pub(crate) use program::Program;
pub(crate) use proxy::{Proxy, config, config_to, key, route, route_by_name, runtime};
pub(crate) use received::{Protocol, Received};
pub(crate) use scene::{ANSWERED, FAULT, Scene, faulty, own_code, pause, rows, wait_until};
pub(crate) use upstream::{Link, Upstream, answer, ok};

/// How long a socket of a test waits before the test fails rather than hangs.
pub(crate) const SOCKET_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);
