//! Reads values of a known type from what was said, and collects what is wrong with them.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use figment::value::Value;
use http::HeaderValue;
use jiff::SignedDuration;

use super::passed::PassedAddresses;
use super::problem::{Place, Problem};
use super::raw::Raw;

/// The longest time that a key may be set to.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads values and collects problems.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    raw: &'a Raw,
    pub(super) problems: Vec<Problem>,
    /// What is risky, but no reason not to start.
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(raw: &'a Raw, problems: Vec<Problem>) -> Self {
        Self {
            raw,
            problems,
            warnings: Vec::new(),
        }
    }

    /// Sockets in place of addresses.
    pub(super) fn passed(&self) -> &'a PassedAddresses {
        &self.raw.passed
    }

    /// Where a key was said.
    pub(super) fn place(&self, key: &str) -> Place {
        self.raw.get(key).map_or(Place::Nowhere, |(_, place)| place)
    }

    /// Whether a key was said, or has a default.
    pub(super) fn is_said(&self, key: &str) -> bool {
        self.raw.get(key).is_some()
    }

    /// Reports a problem with a key, at the place where it was said.
    pub(super) fn report(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Warns of a key, at the place where it was said.
    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.warnings.push(Problem {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// A key's value, judged by `read`; `None` if it is missing or wrong, which is reported.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let (value, place) = self.raw.get(key)?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problems.push(Problem {
                    place,
                    key: key.to_owned(),
                    message: message.to_owned(),
                });
                None
            }
        }
    }

    /// Text; `None` if it is empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, text).filter(|text| !text.is_empty())
    }

    /// Text that must not be empty.
    pub(super) fn required_text(&mut self, key: &str, expected: &'static str) -> Option<String> {
        self.read(key, |value| {
            text(value).and_then(|text| {
                if text.is_empty() {
                    Err(expected)
                } else {
                    Ok(text)
                }
            })
        })
    }

    /// A list of texts; one text counts as a list, and commas separate in it.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        self.read(key, list)
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.read(key, |value| match value.as_str() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => value.to_bool().ok_or("expected true or false"),
        })
    }

    /// A size in bytes, from `least` to `most`. A problem gives `least`, so that nothing follows from it.
    pub(super) fn size(&mut self, key: &str, least: u64, most: u64, expected: &'static str) -> u64 {
        let size = self.read(key, |value| {
            let text = match value {
                Value::Num(_, number) => number.to_i128().map(|number| number.to_string()),
                value => value.as_str().map(str::to_owned),
            };
            let size = text
                .and_then(|text| ByteSize::from_str(&text).ok())
                .map(|size| size.as_u64());
            size.filter(|size| (least..=most).contains(size))
                .ok_or(expected)
        });
        size.unwrap_or(least)
    }

    /// A number in a range. A problem gives the least one.
    pub(super) fn count(
        &mut self,
        key: &str,
        range: RangeInclusive<usize>,
        expected: &'static str,
    ) -> usize {
        let count = self.read(key, |value| {
            let number = match value {
                Value::Num(_, number) => number.to_i128(),
                value => value.as_str().and_then(|text| text.parse().ok()),
            };
            let number = number.and_then(|number| usize::try_from(number).ok());
            number
                .filter(|number| range.contains(number))
                .ok_or(expected)
        });
        count.unwrap_or_else(|| *range.start())
    }

    /// A time above zero, of a day at most.
    pub(super) fn duration(&mut self, key: &str) -> Duration {
        let duration = self.read(key, |value| {
            time(value).filter(|time| !time.is_zero()).ok_or(
                "expected a time above zero and up to a day, like \"5s\", \"300ms\" or \"2m\"",
            )
        });
        duration.unwrap_or(LONGEST)
    }

    /// A time of a day at most, or none.
    pub(super) fn delay(&mut self, key: &str) -> Duration {
        let delay = self.read(key, |value| {
            time(value).ok_or("expected a time up to a day, like \"5s\", or \"0s\" for none")
        });
        delay.unwrap_or_default()
    }

    /// One of several words; `None` if it is another.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        words: &[(&str, T)],
        expected: &'static str,
    ) -> Option<T> {
        let said = self.required_text(key, expected)?;
        let value = words
            .iter()
            .find(|(word, _)| *word == said)
            .map(|(_, value)| *value);
        if value.is_none() {
            self.report(key, expected);
        }
        value
    }
}

/// A time of a day at most.
fn time(value: &Value) -> Option<Duration> {
    let time = value.as_str()?.parse::<SignedDuration>().ok()?;
    let time = Duration::try_from(time).ok()?;
    (time <= LONGEST).then_some(time)
}

/// Text of a value.
pub(super) fn text(value: &Value) -> Result<String, &'static str> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or("expected text in double quotes")
}

/// A header value of visible ASCII.
pub(super) fn header_value(value: &Value) -> Result<HeaderValue, &'static str> {
    let expected = "expected visible ascii characters without blanks";
    let text = value.as_str().ok_or("expected text in double quotes")?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(expected);
    }
    HeaderValue::from_str(text).map_err(|_| expected)
}

/// Texts of a value: a list, or one text in which commas separate.
pub(super) fn list(value: &Value) -> Result<Vec<String>, &'static str> {
    const EXPECTED: &str = "expected a list of texts, like [\"a\", \"b\"]";
    if let Some(items) = value.as_array() {
        return items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or(EXPECTED))
            .collect();
    }
    let text = value.as_str().ok_or(EXPECTED)?;
    Ok(text
        .split(',')
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect())
}
