//! What proxies of these tests log of credentials, told apart by the names of the sets.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Keeps every line of any proxy of this process from now on that names a set of credentials.
pub(crate) fn listen() {
    START.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The lines about a set of credentials so far.
pub(crate) fn about(set: &str) -> Vec<String> {
    let name = format!("credentials \"{set}\"");
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .filter(|line| line.contains(&name))
        .cloned()
        .collect()
}

struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO {
            return;
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        if line.0.contains("credentials \"") {
            LINES.lock().unwrap().push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        write!(self.0, " {value:?}").unwrap();
    }
}
