//! What the API shows of a request, made when it is asked for.

mod bodies;
mod changes;
mod detail;
mod rules;
mod signature;
mod summary;
pub(super) mod times;
mod why;

pub(super) use bodies::{content_type, decoded};
pub(super) use changes::request_changes;
pub(super) use detail::detail;
pub(super) use summary::{id, status_text, summary};
pub(super) use why::why;
