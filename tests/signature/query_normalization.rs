//! Respelling a query must not change what any decoder reads in it.

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
    Decoder {
        plus_is_space: true,
        semicolon: Semicolon::DropsThePair,
        keeps_empty_names: true,
    },
    // The Java and .NET SDKs.
    Decoder {
        plus_is_space: true,
        semicolon: Semicolon::IsItself,
        keeps_empty_names: true,
    },
    // OpenResty.
    Decoder {
        plus_is_space: true,
        semicolon: Semicolon::IsItself,
        keeps_empty_names: false,
    },
    // The JavaScript and PHP SDKs.
    Decoder {
        plus_is_space: false,
        semicolon: Semicolon::IsItself,
        keeps_empty_names: true,
    },
    // Python before 3.10.
    Decoder {
        plus_is_space: true,
        semicolon: Semicolon::Separates,
        keeps_empty_names: true,
    },
];

impl Decoder {
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

/// What a caller means: a plus is a space, a semicolon is itself.
const MEANT: Decoder = Decoder {
    plus_is_space: true,
    semicolon: Semicolon::IsItself,
    keeps_empty_names: true,
};

fn query() -> impl Strategy<Value = String> {
    // No empty names: they are refused before a query is normalized.
    let text = "([a-zA-Z0-9:/?@!$'()*,._~+;\\[\\]-]|%2B|%3B|%20|%26|%C3%A9){1,6}";
    let pair = (
        text,
        prop_oneof![
            Just(String::new()),
            text.prop_map(|value| format!("={value}")),
            Just("=".to_owned())
        ],
    );
    let pairs = proptest::collection::vec(
        pair.prop_map(|(name, value)| format!("{name}{value}")),
        0..5,
    );
    (pairs, prop_oneof![Just(""), Just("&")])
        .prop_map(|(pairs, end)| format!("{}{end}", pairs.join("&")))
}

proptest! {
    #[test]
    fn every_decoder_reads_what_was_meant(query in query()) {
        let normalized = normalize_query(&query);
        let meant = MEANT.read(&query);
        for decoder in DECODERS {
            prop_assert_eq!(decoder.read(&normalized), meant.clone(), "{:?} {}", decoder, normalized);
        }
    }

    #[test]
    fn nothing_else_is_changed_and_twice_is_once(query in query()) {
        let normalized = normalize_query(&query);
        prop_assert_eq!(normalized.replace("%20", "+").replace("%3B", ";"), query.replace("%20", "+").replace("%3B", ";"));
        prop_assert_eq!(normalize_query(&normalized), normalized.clone());
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
