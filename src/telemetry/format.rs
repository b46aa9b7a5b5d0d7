//! How an event becomes a line. Every value that is not a number passes through [`Escaping`] here, so
//! that no place that logs has to think of it.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use crate::escape::{Escaping, Within};

/// The longest value that is written, in bytes. More than the canonical request of a usual target has.
const LONGEST: usize = 4096;

/// The fields of a line of text: the message, then `name=value`.
pub(super) fn text_fields() -> impl for<'a> FormatFields<'a> + 'static {
    format::debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{}=", name(field))?;
        }
        write!(Escaping::cut_at(LONGEST, writer, Within::Line), "{value:?}")
    })
    .delimited(" ")
}

/// Lines of JSON: an object with time, level, message and fields.
///
/// The formatter of `tracing-subscriber` keeps values as they are: quoted, but of any length, and with
/// escapes that a reader of JSON undoes.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut fields = JsonFields {
            writer,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        fields.writer.write_str("}\n")
    }
}

struct JsonFields<'a> {
    writer: Writer<'a>,
    written: fmt::Result,
}

impl JsonFields<'_> {
    /// Writes a value that is one of JSON's own.
    fn bare(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let write = |out: &mut Writer<'_>| write!(out, ",\"{}\":{value}", name(field));
        self.written = self.written.and_then(|()| write(&mut self.writer));
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let write = |out: &mut Writer<'_>| {
            write!(out, ",\"{}\":\"", name(field))?;
            Escaping::cut_at(LONGEST, out.by_ref(), Within::Json).write_fmt(value)?;
            out.write_char('"')
        };
        self.written = self.written.and_then(|()| write(&mut self.writer));
    }
}

impl Visit for JsonFields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// The name of a field, also of one that is a word of Rust's.
fn name(field: &Field) -> &str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}
