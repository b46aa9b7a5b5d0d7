//! What the program says of itself while it runs: the log, on standard error, with a record of every
//! request ([`access`]), and [`metrics`].
//!
//! ```text
//! tracing event ─► format, escape, cut ─► queue of 1 MiB ─► thread "log" ─► standard error
//! ```
//!
//! # What can go wrong
//!
//! Standard error may be full, closed, or a pipe that nobody reads. Then lines are dropped and counted
//! ([`dropped_lines`]), and nothing else happens: nobody who logs waits for it, or fails with it.
//!
//! Values may come from callers and from the gateway. None can end its line, reach the terminal as an
//! escape sequence, or be longer than 4 KiB.

pub mod access;
mod format;
pub mod metrics;
mod panics;
mod queue;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::format::JsonLines;
use self::queue::Queue;
use crate::config::{LogConfig, LogFormat};

/// How long the end of the program waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log of this process, once it has been started.
static LOG: OnceLock<Arc<Queue>> = OnceLock::new();

/// Sets the least severe level that is written, and whether records of requests are.
type SetLevel = Box<dyn Fn(LevelFilter, bool) + Send + Sync>;

static SET_LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system gave no thread or no descriptor for it.
    #[error("the log cannot be started: {0}")]
    System(#[from] io::Error),
    /// It has been started before.
    #[error("the log has been started before")]
    Twice,
}

/// Sends the log, and what is known of panics, to standard error from now on.
///
/// The level is for the program's own events. Libraries are kept at warnings at every level: what
/// they write at `trace` may hold bytes of requests.
///
/// # Errors
///
/// A [`LogError`].
pub fn start_log(config: &LogConfig) -> Result<(), LogError> {
    // Written to past the lock of `std::io::stderr`, which a target that blocks would hold for ever.
    let target = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let queue = Queue::start(target, |dropped| {
        tracing::warn!(
            "{dropped} log lines were dropped since the start: standard error was full, closed or slow"
        );
    })?;
    // On a terminal, colours are left to the layer's own default, which obeys NO_COLOR.
    let (filter, handle) = reload::Layer::new(events_from(config.level, config.access));
    let may_colour = io::stderr().is_terminal();
    let subscriber = subscriber(config, filter, may_colour, Arc::clone(&queue));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    let set = move |level, has_access| {
        // It fails only when the log has ended.
        let _ = handle.reload(events_from(level, has_access));
    };
    let _ = SET_LEVEL.set(Box::new(set));
    LOG.set(queue).map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(panics::log));
    Ok(())
}

/// Writes events from the level of this configuration on, once the log has been started.
pub fn set_level(config: &LogConfig) {
    if let Some(set) = SET_LEVEL.get() {
        set(config.level, config.access);
    }
}

/// How many log lines were dropped since the start, because standard error did not take them.
#[must_use]
pub fn dropped_lines() -> u64 {
    LOG.get().map_or(0, |queue| queue.dropped())
}

/// Says something that is no event: the reason for which the program ends.
///
/// It goes the way of the log once that has been started, behind what was logged before.
pub(crate) fn say(lines: &str) {
    match LOG.get() {
        Some(queue) => queue.push(lines.as_bytes()),
        // Nothing can be done about a closed standard error.
        None => drop(io::stderr().write_all(lines.as_bytes())),
    }
}

/// Waits for the last lines when it is dropped, for a short time.
#[derive(Debug)]
pub(crate) struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        if let Some(queue) = LOG.get() {
            queue.flush(PATIENCE);
        }
    }
}

/// The events that are written at a level, with the records of requests or without.
fn events_from(level: LevelFilter, has_access: bool) -> Targets {
    let access = if has_access { level } else { LevelFilter::OFF };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target(access::TARGET, access)
}

fn subscriber(
    config: &LogConfig,
    filter: impl Filter<Registry> + Send + Sync + 'static,
    may_colour: bool,
    queue: Arc<Queue>,
) -> impl tracing::Subscriber + Send + Sync {
    let mut layer = fmt::layer()
        .with_writer(Lines(queue))
        .log_internal_errors(false);
    if !may_colour {
        layer = layer.with_ansi(false);
    }
    let layer = match config.format {
        LogFormat::Text => layer
            .with_target(false)
            .fmt_fields(format::text_fields())
            .boxed(),
        LogFormat::Json => layer.event_format(JsonLines).boxed(),
    };
    Registry::default().with(layer.with_filter(filter))
}

/// Puts lines into the queue.
struct Lines(Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// Takes one line, which the layer writes at once.
struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
