//! The inspector: keeps the last requests and shows them, without secrets.
//!
//! ```text
//! worker ─ notes, in batches ─► bounded channel ─► thread "inspector": store ─► /inspect/ on the admin listener
//! ```
//!
//! Capturing never delays, changes or fails a request: what does not fit is dropped and counted.
#![allow(dead_code)] // until the parts meet

mod copy;
mod entry;
mod filter;
mod har;
mod head;
mod note;
pub(crate) mod recorder;
mod redact;
pub(crate) mod token;
mod store;
mod view;
