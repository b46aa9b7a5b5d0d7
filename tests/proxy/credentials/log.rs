//! What the proxies of these tests log about credentials, told apart by the names of the sets.

use std::io::{self, Write};
use std::sync::{Mutex, Once};

use tracing::Level;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Keeps the log of all proxies of this process from now on.
pub(crate) fn listen() {
    START.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(Level::INFO)
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(|| Keep)
            .init();
    });
}

/// The lines about a set of credentials so far.
pub(crate) fn about(set: &str) -> Vec<String> {
    let name = format!("credentials \"{set}\"");
    let mut lines = LINES.lock().unwrap().clone();
    lines.retain(|line| line.contains(&name));
    lines
}

struct Keep;

impl Write for Keep {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        if text.contains("credentials \"") {
            LINES.lock().unwrap().push(text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
