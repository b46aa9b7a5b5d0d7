//! What happens for each fault and each bad input: one number, one line in `tests/faults.md`.
//!
//! A test is named after its number. It asserts the answer, what reached the upstream, and that the
//! next request is served.

mod aborts;
mod answers;
mod guard;
mod heads;
mod presence;
mod requests;
mod streams;
mod uploads;
