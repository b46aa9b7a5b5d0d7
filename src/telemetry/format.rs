//! The format of log lines. Every value is escaped and cut here, so that no call site has to.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::config::LogFormat;
use crate::escape::{EscapeWriter, Within};

/// The maximum length of a value, in bytes. A usual canonical request is shorter.
const MAX_VALUE: usize = 4096;

/// The fields of a line of text: the message, then `name=value` for all values that are not empty.
pub(super) fn text_fields() -> impl for<'a> FormatFields<'a> + 'static {
    format::debug_fn(|writer, field, value| {
        let text = one_line(value);
        if field.name() != "message" {
            if text.is_empty() {
                return Ok(());
            }
            write!(writer, " {}=", name(field))?;
        }
        EscapeWriter::cut_at(MAX_VALUE, writer, Within::Line).write_str(&text)
    })
}

/// The lines of a format. Those of text have the time of day in UTC, the level unless it is `INFO`,
/// and the fields; those of JSON are an object with time, level, message and fields.
///
/// The JSON of `tracing-subscriber` does not cut values, and keeps escape sequences for a reader to
/// undo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.0 == LogFormat::Json {
            writer.write_str("{\"timestamp\":\"")?;
            SystemTime.format_time(&mut writer)?;
            write!(writer, "\",\"level\":\"{level}\"")?;
            let result = Ok(());
            let mut fields = JsonFields { writer, result };
            event.record(&mut fields);
            fields.result?;
            return fields.writer.write_str("}\n");
        }
        let second = clock::unix_seconds() % (24 * 60 * 60);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(writer, "{hour:02}:{minute:02}:{second:02} ")?;
        let colour = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            _ => 34,
        };
        match writer.has_ansi_escapes() {
            _ if level == Level::INFO => {}
            true => write!(writer, "\x1b[{colour}m{level}\x1b[0m ")?,
            false => write!(writer, "{level} ")?,
        }
        context.format_fields(writer.by_ref(), event)?;
        writer.write_char('\n')
    }
}

struct JsonFields<'a> {
    writer: Writer<'a>,
    result: fmt::Result,
}

impl JsonFields<'_> {
    fn put(&mut self, field: &Field, quote: &str, value: fmt::Arguments<'_>) {
        let out = &mut self.writer;
        self.result = self.result.and_then(|()| {
            write!(out, ",\"{}\":{quote}", name(field))?;
            EscapeWriter::cut_at(MAX_VALUE, out.by_ref(), Within::Json).write_fmt(value)?;
            out.write_str(quote)
        });
    }
}

impl Visit for JsonFields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, "", format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, "", format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, "", format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, "\"", format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => {
                let text = one_line(value);
                self.put(field, "\"", format_args!("{text}"));
            }
            _ => self.put(field, "\"", format_args!("{value:?}")),
        }
    }
}

fn one_line(value: &dyn Debug) -> String {
    format!("{value:?}")
        .replace("\nhint: ", "; hint: ")
        .replace("\n  ", "; ")
}

/// The name of a field, also of one that is a keyword of Rust.
fn name(field: &Field) -> &str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}
