//! The panic hook, which logs.
//!
//! That of the standard library writes to standard error by itself: unescaped, and past the queue,
//! so a blocked target would block the worker.

use std::panic::PanicHookInfo;

/// Logs the place of a panic, and its message if that is a fixed text. A formatted message may
/// quote a request or a response, so it is logged at `trace` only.
pub(super) fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let fixed = panic.payload().downcast_ref::<&'static str>().copied();
    let said = fixed.unwrap_or("shown at level trace");
    tracing::error!(
        place,
        said,
        "a panic, which is a mistake of the program: report it"
    );
    if let Some(said) = panic.payload().downcast_ref::<String>() {
        tracing::trace!(place, said, "the message of the panic");
    }
}
