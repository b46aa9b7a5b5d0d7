//! Normalizing a query must not change what any decoder reads in it.

use apig_proxy::signature::normalize_query;
use proptest::prelude::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// How a decoder reads the two bytes on which decoders differ.
#[derive(Clone, Copy, Debug)]
struct Decoder {
    plus_is_space: bool,
    semicolon: Semicolon,
    keeps_empty_names: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Semicolon {
    IsItself,
    Separates,
    DropsThePair,
}

const DECODERS: [Decoder; 5] = [
    // Go since 1.17.
    Decoder::new(true, Semicolon::DropsThePair, true),
    // The Java and .NET SDKs.
    MEANT,
    // OpenResty.
    Decoder::new(true, Semicolon::IsItself, false),
    // The JavaScript and PHP SDKs.
    Decoder::new(false, Semicolon::IsItself, true),
    // Python before 3.10.
    Decoder::new(true, Semicolon::Separates, true),
];

/// What a caller means: a plus is a space, a semicolon is itself.
const MEANT: Decoder = Decoder::new(true, Semicolon::IsItself, true);

impl Decoder {
    const fn new(plus_is_space: bool, semicolon: Semicolon, keeps_empty_names: bool) -> Self {
        Self {
            plus_is_space,
            semicolon,
            keeps_empty_names,
        }
    }

    fn read(self, query: &str) -> Pairs {
        let separators: &[char] = if self.semicolon == Semicolon::Separates {
            &['&', ';']
        } else {
            &['&']
        };
        let pairs = query.split(separators).filter(|pair| !pair.is_empty());
        let pairs =
            pairs.filter(|pair| self.semicolon != Semicolon::DropsThePair || !pair.contains(';'));
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .map(|(name, value)| (self.decode(name), self.decode(value)))
            .filter(|(name, _)| self.keeps_empty_names || !name.is_empty())
            .collect()
    }

    fn decode(self, text: &str) -> Vec<u8> {
        let text = if self.plus_is_space {
            text.replace('+', " ")
        } else {
            text.to_owned()
        };
        percent_encoding::percent_decode_str(&text).collect()
    }
}

fn query() -> impl Strategy<Value = String> {
    // No empty names: they are refused before a query is normalized.
    let text = "([a-zA-Z0-9:/?@!$'()*,._~+;é\\[\\]-]|%2B|%3B|%20|%26|%C3%A9){1,6}";
    let pair = format!("{text}(=({text})?)?");
    proptest::string::string_regex(&format!("({pair}(&{pair}){{0,4}})?&?")).unwrap()
}

proptest! {
    #[test]
    fn every_decoder_reads_what_was_meant_after_one_normalization_or_two(query in query()) {
        let normalized = normalize_query(&query);
        prop_assert_eq!(normalize_query(&normalized), normalized.clone());
        let meant = MEANT.read(&query);
        for decoder in DECODERS {
            prop_assert_eq!(decoder.read(&normalized), meant.clone(), "{:?} {}", decoder, normalized);
        }
    }
}

#[test]
fn decoders_differ_without_normalization() {
    for query in ["a=b+c", "a=b;c=d"] {
        let readings: Vec<Pairs> = DECODERS.iter().map(|decoder| decoder.read(query)).collect();
        assert!(
            readings.iter().any(|reading| *reading != readings[0]),
            "{query}"
        );
    }
}
