//! HTTP/1.1 on the wire: heads, framing and bodies, for both sides of the proxy.
//!
//! Its own room, and not a server and a client of a library, because a signing proxy needs what those
//! do not offer. It has to be stricter than they are: what two servers could read differently (two
//! lengths, a bare line feed, an escaped chunk size) must not pass through something that signs. It has
//! to be more faithful: names keep their spelling, fields their order, interim answers and trailers
//! arrive. And it answers what it refuses in its own words. Only splitting a head into fields is left
//! to `httparse`.
//!
//! ```text
//!            Scanner ─► RequestHead ─► Framing ─► BodyDecoder ─┐
//!  Wire ◄──────────────────────────────────────────────────────┴─► pieces of a body
//!            Scanner ─► ResponseHead ─► Framing ─► BodyDecoder ─┘
//! ```
//!
//! # What can go wrong
//!
//! Everything that comes is untrusted, from the gateway as well. Each rule that is broken is a
//! [`Malformed`]; after one, where the next message begins is not known, so the connection has to be
//! closed. All sizes are bounded: a head by the caller of [`Scanner`], chunk lines and trailers here.

mod body;
mod caller;
mod chunked;
mod encode;
mod fields;
mod framing;
mod head;
mod idle;
mod malformed;
mod output;
mod scan;
mod spare;
mod traffic;
mod wire;

pub use body::{BodyDecoder, Decoded, ReadError};
pub use caller::{Caller, Incoming, Interim};
pub use encode::{Encoder, push_field};
pub use fields::{Field, Fields};
pub use framing::Framing;
pub use head::{RequestHead, ResponseHead, Version};
pub use idle::IdleTimer;
pub use malformed::Malformed;
pub use scan::Scanner;
pub use spare::BETWEEN_PAGES;
pub use traffic::Traffic;
pub use wire::{Transport, Wire};

/// The most fields of a head or of trailers.
const FIELDS: usize = 100;
