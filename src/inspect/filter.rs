//! The filter of lists: terms separated by spaces, all of which must match.

use super::entry::Entry;
use super::problem::{self, Problem};
use super::view::id;

/// From how long on a request is slow, in microseconds.
const SLOW: u128 = 1_000_000;

/// Selects the requests of a list.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Term>);

#[derive(Debug)]
struct Term {
    is_negated: bool,
    /// The part before the colon; empty for a plain word.
    key: String,
    /// In lower case.
    value: String,
}

impl Filter {
    /// Parses a filter; an empty one matches every request.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let terms = text.split_whitespace().map(Term::parse);
        terms
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(problem::BAD_FILTER)
    }

    pub(super) fn matches(&self, entry: &Entry) -> bool {
        let mut terms = self.0.iter();
        terms.all(|term| term.holds(entry) != term.is_negated)
    }
}

impl Term {
    /// Parses a term; `None` if its key is unknown, or does not take its value.
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let rest = lower.strip_prefix('-').filter(|rest| !rest.is_empty());
        let (is_negated, term) = (rest.is_some(), rest.unwrap_or(&lower));
        let pair = term.split_once(':');
        // A path may have a colon of its own.
        let pair = pair.filter(|(name, _)| !name.contains('/'));
        let (key, value) = pair.unwrap_or(("", term));
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'x';
        let is_good = match key {
            "status" => value.len() == 3 && value.bytes().all(is_digit),
            "is" => ["error", "hint", "open", "slow", "replay"].contains(&value),
            "id" => value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "method" | "route" | "code" | "path" | "" => !value.is_empty(),
            _ => false,
        };
        is_good.then(|| Self {
            is_negated,
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }

    fn holds(&self, entry: &Entry) -> bool {
        let value = self.value.as_str();
        let has = |text: &str| text.to_lowercase().contains(value);
        let (method, path, _) = entry.request_line();
        match &*self.key {
            "status" => entry.status().is_some_and(|status| {
                let digits = status.to_string();
                let mut pairs = digits.bytes().zip(value.bytes());
                digits.len() == 3 && pairs.all(|(digit, asked)| asked == b'x' || asked == digit)
            }),
            "method" => method.eq_ignore_ascii_case(value),
            "route" => entry.route().eq_ignore_ascii_case(value),
            "code" => entry.code().is_some_and(has),
            "path" => has(&path),
            "id" => id(entry.id).starts_with(value),
            "is" => is(value, entry),
            _ => has(&method) || has(&path) || entry.code().is_some_and(has),
        }
    }
}

fn is(what: &str, entry: &Entry) -> bool {
    let ended = entry.ended.as_ref();
    let is_refused = || entry.status().is_some_and(|status| status >= 400);
    match what {
        "error" => is_refused() || ended.is_some_and(|ended| ended.end != "whole"),
        "hint" => !entry.hint().is_empty(),
        "open" => ended.is_none(),
        "replay" => entry.start.caller.replay_of.is_some(),
        _ => {
            let took = ended.map_or(entry.last, |ended| ended.times.total);
            took.as_micros() >= SLOW
        }
    }
}
