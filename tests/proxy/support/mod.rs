//! What the tests run between: a certificate authority, a raw upstream, a raw client, and the proxy.

mod answer;
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
mod wire;

pub(crate) use answer::Answer;
pub(crate) use authority::{Flaw, Identity, Issuer, asking, flawed, issuer, root_pem};
pub(crate) use client::{Client, chunked, connect, get, in_chunks, post, request};
pub(crate) use exposition::Exposition;
pub(crate) use http2::{
    Exchange, Gateway, GatewayFrames, Order, Plan, fields, frames, read_to_end, send_all,
};
pub(crate) use network::{Addresses, BlackHole, NAME, network, refusing, upstream_tls};
pub(crate) use program::Program;
pub(crate) use proxy::{
    Proxy, config, config_to, key, route, route_by_name, runtime, temporary_key,
};
pub(crate) use received::{Protocol, Received};
pub(crate) use scene::{
    ANSWERED, FAULT, Scene, faulty, gateway_error, own_code, pause, rows, wait_until,
    wrong_signature,
};
pub(crate) use upstream::{Link, Upstream, answer, ok};
pub(crate) use wire::{Field, read_until};

/// How long a socket of a test waits before the test fails rather than hangs.
pub(crate) const SOCKET_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);
