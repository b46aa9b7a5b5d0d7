//! The Prometheus text format, version 0.0.4.

use std::collections::BTreeMap;

/// Parsed metrics.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Names and types, in their order.
    pub(crate) families: Vec<(String, String)>,
    /// The series by name: labels, as `name=value` with blanks between, and value.
    series: BTreeMap<String, Vec<(String, f64)>>,
}

impl Exposition {
    /// Reads a text. The labels of the proxy have no quotes.
    pub(crate) fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.starts_with("# HELP ")) {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                read.families.push((name.to_owned(), kind.to_owned()));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let labels = labels.replace("\",", " ").replace('"', "");
            let (family, _) = read.families.last().unwrap();
            assert!(
                name.starts_with(family.as_str()),
                "{line:?} is none of {family}"
            );
            let all = read.series.entry(name.to_owned()).or_default();
            let is_new = all.iter().all(|known| known.0 != labels);
            assert!(is_new, "there twice: {line:?}");
            all.push((labels, value.parse().unwrap()));
        }
        read
    }

    /// All series of a name, labels written as `name=value` with blanks between, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<(String, f64)> {
        self.series.get(name).cloned().unwrap_or_default()
    }

    /// The value of a series that must be there; labels as in [`Self::all`].
    pub(crate) fn value(&self, name: &str, labels: &str) -> f64 {
        let all = self.all(name);
        let found = all.iter().find(|series| series.0 == labels);
        let (_, value) = found.unwrap_or_else(|| panic!("no {name} with {labels:?} in {all:?}"));
        *value
    }
}
