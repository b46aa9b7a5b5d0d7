//! The log while another program has the terminal: a file, or warnings that wait until it has ended.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;
use tracing::level_filters::LevelFilter;

use crate::cli::Failure;
use crate::config::LogConfig;
use crate::lock::lock;
use crate::telemetry::{self, FlushOnDrop};

/// How many bytes of warnings are held back.
const CAPACITY: usize = 64 * 1024;

const DROPPED: &[u8] =
    b"apig-proxy: further warnings were dropped\nhint: name a file with `--log-file`\n";

/// Warnings that wait for the end of the program; none with a log file.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldLog(Arc<Mutex<Vec<u8>>>);

impl HeldLog {
    /// Starts the log: to this file, or held back.
    pub(super) fn start(config: &LogConfig, file: Option<&Path>) -> Result<Self, Failure> {
        let held = Self::default();
        let started = match file {
            Some(path) => telemetry::start_log_to(open(path)?, false, config),
            None => {
                let level = config.level.min(LevelFilter::WARN);
                let config = LogConfig { level, ..*config };
                telemetry::start_log_to(held.clone(), io::stderr().is_terminal(), &config)
            }
        };
        started.map_err(Failure::failed)?;
        Ok(held)
    }

    /// Writes what was held back, if standard error is a terminal.
    pub(super) fn release(&self) {
        // Waits for the lines that are still queued.
        drop(FlushOnDrop);
        let held = std::mem::take(&mut *lock(&self.0));
        if io::stderr().is_terminal() {
            // Nothing can be done about a closed standard error.
            let _ = io::stderr().write_all(&held);
        }
    }
}

impl Write for HeldLog {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut held = lock(&self.0);
        if held.len() + lines.len() <= CAPACITY {
            held.extend_from_slice(lines);
        } else if !held.ends_with(DROPPED) {
            held.extend_from_slice(DROPPED);
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a log file to append to. It is made for its owner only, since paths of requests are in it.
fn open(path: &Path) -> Result<File, Failure> {
    // A pipe without a reader is an error and is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.append(true).create(true).mode(0o600);
    options.custom_flags(flags).open(path).map_err(|error| {
        Failure::configuration(format_args!(
            "the log file {} cannot be opened: {error}\nhint: name a file that can be written with `--log-file`",
            path.display()
        ))
    })
}
