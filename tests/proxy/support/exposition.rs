//! The Prometheus text format, version 0.0.4, read as strictly as it is written down.

use std::collections::BTreeSet;

/// Metrics that were read.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Names and types, in their order.
    pub(crate) families: Vec<(String, String)>,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Exposition {
    /// Reads a text, which must have no fault.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end: {text}");
        let mut read = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
                .unwrap_or_else(|| panic!("not the beginning of a family: {line:?}"));
            assert!(is_name(name) && !help.trim().is_empty(), "{line:?}");
            let kind = lines
                .next()
                .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")))
                .unwrap_or_else(|| panic!("no type of {name}"));
            assert!(
                ["counter", "gauge", "histogram"].contains(&kind),
                "{kind:?}"
            );
            let is_known = read.families.iter().any(|known| known.0 == name);
            assert!(!is_known, "{name} is there twice");
            read.families.push((name.to_owned(), kind.to_owned()));
            let first = read.samples.len();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                read.samples.push(sample(line));
            }
            check(name, kind, &read.samples[first..]);
        }
        read
    }

    /// All series of a name, labels written as `name=value` with blanks between, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<(String, f64)> {
        let samples = self.samples.iter().filter(|sample| sample.name == name);
        let series = samples.map(|sample| {
            let labels = sample.labels.iter();
            let labels: Vec<String> = labels.map(|(k, v)| format!("{k}={v}")).collect();
            (labels.join(" "), sample.value)
        });
        series.collect()
    }

    /// The value of a series that must be there; labels as in [`Self::all`].
    pub(crate) fn value(&self, name: &str, labels: &str) -> f64 {
        let all = self.all(name);
        let found = all.iter().find(|series| series.0 == labels);
        found
            .unwrap_or_else(|| panic!("no {name} with {labels:?} in {all:?}"))
            .1
    }
}

fn is_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// Reads `name{label="value",…} value`.
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line:?}");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ').unwrap();
    assert!(
        value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte)),
        "{line:?}"
    );
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap(),
    }
}

/// Reads labels up to and including the closing brace, and returns the rest.
fn labels(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut labels: Vec<(String, String)> = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "{name:?}");
        assert!(
            labels.iter().all(|known| known.0 != name),
            "{name} is there twice"
        );
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("an escape that there is not: {other}"),
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if let Some(rest) = rest.strip_prefix('}') {
            return (labels, rest);
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}

/// Checks the samples of a family.
fn check(name: &str, kind: &str, samples: &[Sample]) {
    let mut known = BTreeSet::new();
    for sample in samples {
        let series = format!("{} {:?}", sample.name, sample.labels);
        assert!(known.insert(series), "there twice: {sample:?}");
        let suffix = sample.name.strip_prefix(name).unwrap();
        let is_own = match kind {
            "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
            _ => suffix.is_empty(),
        };
        assert!(is_own, "{sample:?} is none of {name}");
        assert!(kind == "gauge" || sample.value >= 0.0, "{sample:?}");
    }
    assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    if kind == "histogram" {
        check_histogram(name, samples);
    }
}

/// Checks a histogram without labels of its own.
fn check_histogram(name: &str, samples: &[Sample]) {
    let [buckets @ .., sum, count] = samples else {
        panic!("{name} is not complete");
    };
    assert_eq!(sum.name, format!("{name}_sum"));
    assert_eq!(count.name, format!("{name}_count"));
    let bounds = buckets.iter().map(|bucket| {
        assert_eq!(
            (bucket.labels.len(), bucket.labels[0].0.as_str()),
            (1, "le")
        );
        let bound = &bucket.labels[0].1;
        let infinity = bound == "+Inf";
        (
            if infinity {
                f64::INFINITY
            } else {
                bound.parse().unwrap()
            },
            bucket.value,
        )
    });
    let bounds: Vec<(f64, f64)> = bounds.collect();
    assert!(
        bounds
            .windows(2)
            .all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1),
        "{name}: {bounds:?}"
    );
    assert_eq!(bounds.last(), Some(&(f64::INFINITY, count.value)), "{name}");
    assert_eq!(sum.value > 0.0, count.value > 0.0, "{name}");
}
