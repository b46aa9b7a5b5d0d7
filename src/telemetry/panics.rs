//! Panics, as the log tells of them.
//!
//! The hook of the standard library writes to standard error by itself: past the queue, so that a target
//! that blocks would hold up the worker, and without escaping what it writes.

use std::panic::PanicHookInfo;

/// Logs a panic: where it was, and what it said as far as that is a fixed text. What was put together
/// may quote a request or an answer, so it is for the level that shows such things.
pub(super) fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let payload = panic.payload();
    let said = payload.downcast_ref::<&'static str>().copied();
    let said = said.unwrap_or("shown at level trace");
    tracing::error!(
        place,
        said,
        "a panic, which is a mistake of the program: report it"
    );
    if let Some(said) = payload.downcast_ref::<String>() {
        tracing::trace!(place, said, "what the panic said");
    }
}
