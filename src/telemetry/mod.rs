//! What the program says of itself while it runs: the log, on standard error.
//!
//! # What can go wrong
//!
//! Standard error may be full or closed. A log line is lost then, and nothing else happens.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// Sends the log to standard error from now on.
///
/// The level is for the program's own events. Libraries are kept at warnings at every level: what
/// they write at `trace` may hold bytes of requests.
///
/// # Errors
///
/// If the log has been set up before.
pub fn start_log(config: &LogConfig) -> Result<(), SetGlobalDefaultError> {
    let filter = Targets::new()
        .with_default(config.level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), config.level);
    let mut layer = fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // On a terminal, colours are left to the layer's own default, which obeys NO_COLOR.
    if !std::io::stderr().is_terminal() {
        layer = layer.with_ansi(false);
    }
    let layer = match config.format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_target(false).boxed(),
    };
    tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(filter)))
}
