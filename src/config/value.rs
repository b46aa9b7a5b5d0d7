//! Types of values. Each function here parses one type; its error says what is expected and never
//! quotes the value.
//!
//! Variables and options are text, so every type is also accepted as text.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderValue;
use jiff::{Span, SpanRelativeTo};
use toml::Value;

use super::layers::Setting;
use super::problem::Place;

/// A value of a type, or what is expected instead.
pub(super) type Parsed<T> = Result<T, Cow<'static, str>>;

/// Text that `parse` accepts.
pub(super) fn text<T>(
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> impl Fn(&Setting) -> Parsed<T> {
    move |setting| {
        let text = setting.value.as_str();
        Ok(parse(text.ok_or("expected text in double quotes")?)?)
    }
}

/// Text that `parse` accepts; empty text is `None`.
pub(super) fn optional<T>(
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> impl Fn(&Setting) -> Parsed<Option<T>> {
    text(move |text| match text {
        "" => Ok(None),
        text => parse(text).map(Some),
    })
}

/// Any text; empty text is `None`.
pub(super) fn any(setting: &Setting) -> Parsed<Option<String>> {
    optional(|text| Ok(text.to_owned()))(setting)
}

/// The path of a file, relative to the configuration file that sets it; empty text is `None`.
pub(super) fn file(setting: &Setting) -> Parsed<Option<PathBuf>> {
    let folder = match &setting.place {
        Place::File(file, _) => file.parent(),
        _ => None,
    };
    let path = |path| folder.unwrap_or_else(|| Path::new("")).join(path);
    Ok(any(setting)?.map(path))
}

/// What `load` makes of the file that the value names; `None` if it names none.
pub(super) fn loaded<T>(
    load: impl Fn(&Path) -> Result<T, String>,
) -> impl Fn(&Setting) -> Parsed<Option<T>> {
    move |setting| Ok(file(setting)?.map(|path| load(&path)).transpose()?)
}

/// A header value of visible ASCII; empty text is `None`.
pub(super) fn header_value(setting: &Setting) -> Parsed<Option<HeaderValue>> {
    optional(|text| {
        let value = HeaderValue::from_str(text).ok();
        let value = value.filter(|_| text.bytes().all(|byte| byte.is_ascii_graphic()));
        value.ok_or("expected visible ASCII characters without blanks")
    })(setting)
}

/// Parses the id of a project.
pub(crate) fn project_id(text: &str) -> Result<HeaderValue, &'static str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_id = (1..=64).contains(&text.len()) && text.bytes().all(is_part);
    let id = HeaderValue::from_str(text).ok().filter(|_| is_id);
    id.ok_or("expected the id of a project, as the console shows it")
}

/// One of several words.
pub(super) fn word<T: Copy, const N: usize>(
    words: [(&'static str, T); N],
) -> impl Fn(&Setting) -> Parsed<T> {
    move |setting| {
        let given = setting.value.as_str();
        let is_given = |word: &str| given.is_some_and(|given| given.eq_ignore_ascii_case(word));
        let found = words.iter().find(|(word, _)| is_given(word));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let quoted = words.map(|(word, _)| format!("\"{word}\""));
            let (last, others) = quoted.split_last().expect("there are words");
            format!("expected {} or {last}", others.join(", ")).into()
        })
    }
}

pub(super) fn boolean(setting: &Setting) -> Parsed<bool> {
    let text = setting.value.as_str().map(str::to_ascii_lowercase);
    let text = text.and_then(|text| text.parse().ok());
    let value = text.or_else(|| setting.value.as_bool());
    Ok(value.ok_or("expected true or false")?)
}

/// A duration above zero.
pub(super) fn duration(setting: &Setting) -> Parsed<Duration> {
    const EXPECTED: &str =
        "expected a time with a unit, above zero and up to a day, like \"5s\", \"300ms\" or \"2m\"";
    let duration = delay(setting).ok().filter(|duration| !duration.is_zero());
    Ok(duration.ok_or(EXPECTED)?)
}

/// A duration, or zero for none.
pub(super) fn delay(setting: &Setting) -> Parsed<Duration> {
    const EXPECTED: &str = "expected a time up to a day, like \"5s\", or \"0s\" for none";
    const MAX: Duration = Duration::from_secs(24 * 60 * 60);
    let duration = setting.value.as_str().and_then(time);
    Ok(duration.filter(|given| *given <= MAX).ok_or(EXPECTED)?)
}

/// A time in ms, s, m, h or d.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    duration.ok()?.try_into().ok()
}

/// A size in bytes within limits, which are sizes like `8KiB`.
pub(super) fn size<T: TryFrom<u64>>(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&Setting) -> Parsed<T> {
    let bytes = |text: &str| text.parse().ok().map(|size: ByteSize| size.as_u64());
    move |setting| {
        let size = number_text(&setting.value).and_then(|text| bytes(&text));
        let is_within = |size: &u64| (bytes(least)..=bytes(most)).contains(&Some(*size));
        let size = size.filter(is_within).and_then(|size| size.try_into().ok());
        size.ok_or_else(|| {
            format!("expected a size from \"{least}\" to \"{most}\", like \"12MiB\"").into()
        })
    }
}

/// A number from `least` to a million, about.
pub(super) fn count(least: usize) -> impl Fn(&Setting) -> Parsed<usize> {
    // As many descriptors as Linux gives to one process.
    const MOST: usize = 1_048_576;
    move |setting| {
        let count = number_text(&setting.value).and_then(|text| text.parse().ok());
        let count = count.filter(|count| (least..=MOST).contains(count));
        count.ok_or_else(|| format!("expected a number from {least} to {MOST}").into())
    }
}

/// A whole number, or text.
pub(super) fn number_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Integer(number) => Some(number.to_string().into()),
        value => only_text(value),
    }
}

/// A list of texts that `parse` accepts. The error says all that is wrong with them.
pub(super) fn list<T>(
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> impl Fn(&Setting) -> Parsed<Vec<T>> {
    list_of(only_text, parse)
}

/// A list of other items, such as [`number_text`] for ports.
pub(super) fn list_of<T>(
    item: fn(&Value) -> Option<Cow<'_, str>>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> impl Fn(&Setting) -> Parsed<Vec<T>> {
    move |setting| {
        let (texts, mut items, mut wrong) =
            (items(setting, item)?, Vec::new(), Vec::<String>::new());
        for (at, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(item) => items.push(item),
                Err(expected) if wrong.iter().any(|line| line.ends_with(expected)) => {}
                Err(expected) if texts.len() == 1 => wrong.push(expected.to_owned()),
                Err(expected) => wrong.push(format!("entry {}: {expected}", at + 1)),
            }
        }
        let wrong = (!wrong.is_empty()).then(|| wrong.join("\n").into());
        wrong.map_or(Ok(items), Err)
    }
}

fn only_text(value: &Value) -> Option<Cow<'_, str>> {
    value.as_str().map(Cow::Borrowed)
}

/// The texts of a list: an array, text that is a JSON or TOML array, or text in which commas
/// separate.
pub(super) fn texts(setting: &Setting) -> Parsed<Vec<String>> {
    items(setting, only_text)
}

fn items(setting: &Setting, item: fn(&Value) -> Option<Cow<'_, str>>) -> Parsed<Vec<String>> {
    const EXPECTED: &str = "expected a list of texts in double quotes, like [\"a\", \"b\"]";
    let item = |value: &Value| item(value).map(Cow::into_owned);
    let items =
        |value: &Value| -> Option<Vec<String>> { value.as_array()?.iter().map(item).collect() };
    let Some(text) = setting.value.as_str() else {
        let alone = || item(&setting.value).map(|item| vec![item]);
        return Ok(items(&setting.value).or_else(alone).ok_or(EXPECTED)?);
    };
    // What only begins like an array may be an address, like [::1]:8080.
    let toml = || text.parse().ok().and_then(|value| items(&value));
    let array = serde_json::from_str(text).ok().or_else(toml);
    Ok(array.unwrap_or_else(|| {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    }))
}
