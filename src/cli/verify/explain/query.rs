//! Mistakes with the query.

use std::collections::HashSet;

use super::super::lines::Lines;
use super::Mistake;
use super::percent::{as_javascript, decoded, encoded, in_small_letters};

/// What signers make of `query`, as it is on the wire.
pub(super) fn mistakes(query: &str, lines: &Lines) -> Vec<Mistake> {
    let pairs = Pairs::of(query);
    let mut queries = orders(&pairs);
    queries.extend(separators(query, &pairs));
    queries.extend(selections(&pairs));
    queries.extend(characters(query, &lines.query));
    queries
        .into_iter()
        .map(|(says, query)| Mistake::new(says, move |lines| lines.query.clone_from(&query)))
        .collect()
}

type Spelt = (&'static str, String);

/// In which order pairs come.
fn orders(pairs: &Pairs) -> Vec<Spelt> {
    vec![
        (
            "the query was not sorted when it was signed; sort it by name, then by value",
            pairs.joined(),
        ),
        (
            "the query was sorted by its encoded names and values; sort by name and value before encoding",
            pairs.sorted_by(|name, value| (as_encoded(name), as_encoded(value))),
        ),
        (
            "the query was sorted by its encoded names, and values of one name were not sorted; sort by name, then by value, before encoding",
            pairs.sorted_by(|name, _| as_encoded(name)),
        ),
        (
            "values of one name were not sorted; sort the query by name, then by value",
            pairs.sorted_by(|name, _| name.to_vec()),
        ),
        (
            "the query was sorted by whole pairs; sort by name, then by value",
            pairs.sorted_by(|name, value| [&as_encoded(name), "=", &as_encoded(value)].concat()),
        ),
        (
            "the query was sorted without regard to capital letters; sort by character code",
            pairs.sorted_by(|name, value| (name.to_ascii_lowercase(), value.to_vec())),
        ),
    ]
}

/// How characters are spelt, in the query on the wire and in the canonical one.
fn characters(query: &str, canonical: &str) -> Vec<Spelt> {
    let spaces = Pairs::of(&query.replace('+', "%20"));
    let mut in_plain: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    in_plain.sort_unstable();
    vec![
        (
            "\"+\" in the query was signed as a space, and the gateway may read it as \"+\"; send a space as %20, and \"+\" as %2B",
            spaces.sorted(),
        ),
        (
            "a space in the query was signed as %2B, from a \"+\"; sign what is sent, a space as %20",
            canonical.replace("%20", "%2B"),
        ),
        (
            "a space in the query was signed as \"+\"; write it as %20",
            canonical.replace("%20", "+"),
        ),
        (
            "the query was signed as it is sent; encode names and values, sort, and write \"name=\" for an empty value",
            query.to_owned(),
        ),
        (
            "the query was sorted, but not encoded as the canonical one; encode names and values once",
            in_plain.join("&"),
        ),
        (
            "the query was encoded twice when it was signed; give the signer names and values before they are encoded",
            Pairs::undecoded(query).sorted(),
        ),
        (
            "the query was encoded as by JavaScript's encodeURIComponent; encode ! ' ( ) * too",
            as_javascript(canonical),
        ),
        (
            "the query has escapes in small letters; write them in capital ones, like %2F",
            in_small_letters(canonical),
        ),
    ]
}

/// What is taken for the end of a pair, or of a name.
fn separators(query: &str, pairs: &Pairs) -> Vec<Spelt> {
    let without_semicolon: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .collect();
    let without_equals: Vec<String> = pairs
        .sorted()
        .split('&')
        .map(|pair| pair.strip_suffix('=').unwrap_or(pair).to_owned())
        .collect();
    vec![
        (
            "a pair with \";\" in the query was left out when it was signed; send \";\" as %3B",
            Pairs::of(&without_semicolon.join("&")).sorted(),
        ),
        (
            "\";\" was signed as the end of a pair of the query; send it as %3B",
            Pairs::of(&query.replace(';', "&")).sorted(),
        ),
        (
            "empty values of the query were signed without \"=\"; sign them as \"name=\"",
            without_equals.join("&"),
        ),
    ]
}

/// Which pairs are signed.
fn selections(pairs: &Pairs) -> Vec<Spelt> {
    vec![
        ("the query was not signed; sign it", String::new()),
        (
            "pairs of the query without a name were left out when it was signed; do not send them",
            pairs.named().sorted(),
        ),
        (
            "a name is more than once in the query, and only its first value was signed; sign all",
            Pairs::once(pairs.0.iter()).sorted(),
        ),
        (
            "a name is more than once in the query, and only its last value was signed; sign all",
            Pairs::once(pairs.0.iter().rev()).sorted(),
        ),
    ]
}

type Pair = (Vec<u8>, Vec<u8>);

/// Names and values of a query, decoded, in the order they came.
#[derive(Clone, Debug)]
struct Pairs(Vec<Pair>);

impl Pairs {
    fn of(query: &str) -> Self {
        Self::read(query, decoded)
    }

    /// Names and values as if they were not encoded.
    fn undecoded(query: &str) -> Self {
        Self::read(query, |text| text.as_bytes().to_vec())
    }

    fn read(query: &str, read: impl Fn(&str) -> Vec<u8>) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(
            pairs
                .map(|(name, value)| (read(name), read(value)))
                .collect(),
        )
    }

    /// Those that have a name.
    fn named(&self) -> Self {
        let pairs = self.0.iter().filter(|(name, _)| !name.is_empty());
        Self(pairs.cloned().collect())
    }

    /// The first pair of each name.
    fn once<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Self {
        let mut names = HashSet::new();
        let firsts = pairs.filter(|(name, _)| names.insert(name));
        Self(firsts.cloned().collect())
    }

    fn joined(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}={}", as_encoded(name), as_encoded(value)))
            .collect();
        pairs.join("&")
    }

    /// As it should be.
    fn sorted(&self) -> String {
        self.sorted_by(|name, value| (name.to_vec(), value.to_vec()))
    }

    fn sorted_by<K: Ord>(&self, key: impl Fn(&[u8], &[u8]) -> K) -> String {
        let mut pairs = self.clone();
        pairs.0.sort_by_cached_key(|(name, value)| key(name, value));
        pairs.joined()
    }
}

fn as_encoded(bytes: &[u8]) -> String {
    encoded(bytes, b"")
}
