//! The log, access records included ([`access_log`]), and the [`metrics`].
//!
//! ```text
//! tracing event ─► format, escape, cut ─► queue of 1 MiB ─► thread "log" ─► standard error
//! ```
//!
//! # What can go wrong
//!
//! Standard error may be full, closed, or a pipe that is not read. Then lines are dropped and
//! counted ([`dropped_lines`]); logging neither blocks nor fails.
//!
//! Values may come from callers and from the gateway. None can end its line, reach a terminal as an
//! escape sequence, or exceed 4 KiB.

pub mod access_log;
mod format;
pub mod metrics;
mod queue;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::format::Lines;
use self::queue::Queue;
use crate::config::{LogConfig, LogFormat};

/// How long the end of the program waits for the last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    queue: &'static Queue,
    format: LogFormat,
    filter: reload::Handle<Targets, Registry>,
}

/// The system refuses a thread or a descriptor, or the log has been started before.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be started: {0}")]
pub struct LogError(#[from] io::Error);

/// Sends events and panics to standard error from now on.
///
/// # Errors
///
/// A [`LogError`].
pub fn start_log(config: &LogConfig) -> Result<(), LogError> {
    // Not `std::io::stderr`: a blocked target would keep its lock locked.
    let target = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    // On a terminal, the layer itself decides on colours: it obeys NO_COLOR.
    start_log_to(target, io::stderr().is_terminal(), config)
}

/// Sends events and panics to this target from now on.
///
/// The level is that of the program's own events. Libraries stay at warnings at every level,
/// because their `trace` events may hold bytes of requests.
pub(crate) fn start_log_to(
    target: impl Write + Send + 'static,
    may_colour: bool,
    config: &LogConfig,
) -> Result<(), LogError> {
    let queue = Queue::start(target, |dropped| {
        tracing::warn!(
            "{dropped} log lines were dropped since the start: the target was full, closed or slow"
        );
    })?;
    let (layer, filter) = reload::Layer::new(targets(config));
    let subscriber = subscriber(config, layer, may_colour, queue);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    let format = config.format;
    LOG.get_or_init(|| Log {
        queue,
        format,
        filter,
    });
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Applies the level of another configuration to a log that was started.
pub fn set_level(config: &LogConfig) {
    if let Some(log) = LOG.get() {
        // It fails only after the end of the log.
        let _ = log.filter.reload(targets(config));
    }
}

/// Logs the place of a panic, and its message if that is a fixed text. A formatted message may
/// quote a request or a response, so it is logged at `trace` only. The hook of the standard library
/// would write it unescaped and past the queue.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let fixed = panic.payload().downcast_ref::<&'static str>().copied();
    let said = fixed.unwrap_or("shown at level trace");
    tracing::error!(
        place,
        said,
        "the program panicked, which is a bug: please report it"
    );
    if let Some(said) = panic.payload().downcast_ref::<String>() {
        tracing::trace!(place, said, "the message of the panic");
    }
}

/// True if lines are text.
fn is_for_people() -> bool {
    LOG.get().is_some_and(|log| log.format == LogFormat::Text)
}

/// The number of log lines dropped since the start, because standard error did not take them.
pub fn dropped_lines() -> u64 {
    LOG.get().map_or(0, |log| log.queue.dropped())
}

/// Writes text that is no event to standard error: the reason for which the program ends. Once the
/// log is started, it is queued behind the lines before it.
pub(crate) fn print(text: &str) {
    match LOG.get() {
        Some(log) => log.queue.push(text.as_bytes()),
        // Nothing can be done about a closed standard error.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits for the last lines when it is dropped, for a short time.
#[derive(Debug)]
pub(crate) struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.queue.flush(FLUSH_TIMEOUT);
        }
    }
}

/// The events that are written, by their targets.
fn targets(config: &LogConfig) -> Targets {
    let access = match config.access {
        true => config.level,
        false => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(config.level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), config.level)
        .with_target(access_log::TARGET, access)
}

fn subscriber(
    config: &LogConfig,
    filter: impl Filter<Registry> + Send + Sync + 'static,
    may_colour: bool,
    queue: &'static Queue,
) -> impl tracing::Subscriber + Send + Sync {
    let mut layer = fmt::layer()
        .with_writer(move || queue)
        .log_internal_errors(false);
    if !may_colour {
        layer = layer.with_ansi(false);
    }
    let layer = layer
        .fmt_fields(format::text_fields())
        .event_format(Lines(config.format));
    Registry::default().with(layer.with_filter(filter))
}

#[cfg(test)]
mod tests;
