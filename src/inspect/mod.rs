//! The inspector: keeps the last requests and shows them, without secrets.
//!
//! ```text
//! worker ─ notes, in batches ─► bounded channel ─► thread "inspector": store ─► /inspect/ on the admin listener
//! ```
//!
//! Capturing never delays, changes or fails a request: what does not fit is dropped and counted.
#![allow(dead_code)] // until the parts meet

mod body;
mod copy;
mod entry;
mod filter;
mod gaps;
mod har;
mod head;
mod note;
pub(crate) mod recorder;
mod redact;
mod store;
pub(crate) mod token;
mod view;
mod weight;
