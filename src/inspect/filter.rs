//! The filter of lists: terms apart by blanks, all of which have to hold.

use std::fmt;

use super::entry::Entry;

/// From how long on a request is slow, in microseconds.
const SLOW: u128 = 1_000_000;

const HINT: &str = "hint: use `status:4xx`, `method:POST`, `route:/flowers`, `code:APIG.0301`, `path:/x`, `id:1a2b`, \
     `is:error`, `is:hint`, `is:open`, `is:slow`, `is:replay` or plain words, each with `-` before it to exclude";

/// Which requests a list has.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Term>);

#[derive(Debug)]
struct Term {
    is_negated: bool,
    key: Key,
    /// In lower case.
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Status,
    Method,
    Route,
    Code,
    Path,
    Is,
    Id,
    Word,
}

/// Why a text is no filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilterError(&'static str);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{HINT}", self.0)
    }
}

const KEYS: [(&str, Key); 7] = [
    ("status", Key::Status),
    ("method", Key::Method),
    ("route", Key::Route),
    ("code", Key::Code),
    ("path", Key::Path),
    ("is", Key::Is),
    ("id", Key::Id),
];

impl Filter {
    /// Parses a filter; an empty one takes every request.
    ///
    /// # Errors
    ///
    /// An unknown key, or a value that its key does not take.
    pub(super) fn parse(text: &str) -> Result<Self, FilterError> {
        text.split_whitespace()
            .map(Term::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// True if all terms hold for a request.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        self.0
            .iter()
            .all(|term| term.holds(entry) != term.is_negated)
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let lower = text.to_lowercase();
        let rest = lower.strip_prefix('-').filter(|rest| !rest.is_empty());
        let (is_negated, term) = (rest.is_some(), rest.unwrap_or(&lower));
        let (key, value) = match term.split_once(':') {
            // A path may have a colon of its own.
            Some((name, value)) if !name.contains('/') => {
                let known = KEYS.iter().find(|(known, _)| *known == name);
                (
                    known
                        .ok_or(FilterError("a key of the filter is unknown"))?
                        .1,
                    value,
                )
            }
            _ => (Key::Word, term),
        };
        let is_good = match key {
            Key::Status => {
                value.len() == 3 && value.bytes().all(|b| b.is_ascii_digit() || b == b'x')
            }
            Key::Is => ["error", "hint", "open", "slow", "replay"].contains(&value),
            Key::Id => value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            _ => !value.is_empty(),
        };
        let value = value.to_owned();
        is_good
            .then_some(Self {
                is_negated,
                key,
                value,
            })
            .ok_or(FilterError(
                "a value of the filter is not one that its key takes",
            ))
    }

    fn holds(&self, entry: &Entry) -> bool {
        let value = self.value.as_str();
        let has = |text: &str| text.to_lowercase().contains(value);
        let (method, path, _) = entry.request_line();
        match self.key {
            Key::Status => entry.status().is_some_and(|status| {
                let digits = status.to_string();
                let mut pairs = digits.bytes().zip(value.bytes());
                digits.len() == 3 && pairs.all(|(digit, asked)| asked == b'x' || asked == digit)
            }),
            Key::Method => method.eq_ignore_ascii_case(value),
            Key::Route => entry.route().eq_ignore_ascii_case(value),
            Key::Code => entry.code().is_some_and(has),
            Key::Path => has(&path),
            Key::Id => format!("{:032x}", entry.id).starts_with(value),
            Key::Word => has(&method) || has(&path) || entry.code().is_some_and(has),
            Key::Is => is(value, entry),
        }
    }
}

fn is(what: &str, entry: &Entry) -> bool {
    let ended = entry.ended.as_ref();
    match what {
        "error" => {
            entry.status().is_some_and(|status| status >= 400)
                || ended.is_some_and(|ended| ended.end != "whole")
        }
        "hint" => !entry.hint().is_empty(),
        "open" => !entry.is_done(),
        "replay" => entry
            .start
            .as_ref()
            .is_some_and(|begun| begun.replay_of.is_some()),
        _ => {
            ended
                .map_or(entry.last, |ended| ended.times.total)
                .as_micros()
                >= SLOW
        }
    }
}
