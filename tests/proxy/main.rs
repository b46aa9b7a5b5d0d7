//! The proxy between a raw client and a raw upstream: what reaches the gateway, and what comes back.
//!
//! Both ends are sockets of these tests, so that bytes are seen as they are on the wire.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod admin;
mod cloud;
mod corpus;
mod credentials;
mod faults;
mod http2;
mod inspector;
mod lifecycle;
mod listeners;
mod metrics;
mod pages;
mod support;
mod websockets;
