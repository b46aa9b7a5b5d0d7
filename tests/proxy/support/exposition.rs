//! The Prometheus text format, version 0.0.4, read strictly.

use std::collections::BTreeMap;

/// Metrics that were read.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Names and types, in their order.
    pub(crate) families: Vec<(String, String)>,
    /// The series by name: labels, as `name=value` with blanks between, and value.
    series: BTreeMap<String, Vec<(String, f64)>>,
}

impl Exposition {
    /// Reads a text, which must have no fault.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end: {text}");
        let mut read = Self::default();
        let mut help = "";
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("# HELP ") {
                help = line.split_once(' ').unwrap().0;
            } else if let Some(line) = line.strip_prefix("# TYPE ") {
                let (name, kind) = line.split_once(' ').unwrap();
                assert_eq!(name, help, "HELP and TYPE belong together");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                let is_known = read.families.iter().any(|known| known.0 == name);
                assert!(!is_known, "{name} is there twice");
                read.families.push((name.to_owned(), kind.to_owned()));
            } else {
                read.sample(line);
            }
        }
        read.check_histograms();
        read
    }

    /// Reads `name{label="value",…} value`, which belongs to the last family. The labels of the proxy have no quotes.
    fn sample(&mut self, line: &str) {
        let (family, kind) = self.families.last().unwrap();
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels
            .strip_suffix('}')
            .unwrap()
            .replace("\",", " ")
            .replace('"', "");
        let suffix = name.strip_prefix(family.as_str()).unwrap();
        let suffixes: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line:?} is none of {family}");
        let value: f64 = value.parse().unwrap();
        assert!(kind == "gauge" || value >= 0.0, "{line:?}");
        let all = self.series.entry(name.to_owned()).or_default();
        assert!(
            all.iter().all(|known| known.0 != labels),
            "there twice: {line:?}"
        );
        all.push((labels, value));
    }

    fn check_histograms(&self) {
        for (name, _) in self
            .families
            .iter()
            .filter(|family| family.1 == "histogram")
        {
            let counts = self.all(&format!("{name}_bucket"));
            assert!(
                counts.is_sorted_by(|one, next| one.1 <= next.1),
                "{counts:?}"
            );
            let count = self.value(&format!("{name}_count"), "");
            assert_eq!(counts.last(), Some(&("le=+Inf".to_owned(), count)));
            assert_eq!(
                self.value(&format!("{name}_sum"), "") > 0.0,
                count > 0.0,
                "{name}"
            );
        }
    }

    /// All series of a name, labels written as `name=value` with blanks between, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<(String, f64)> {
        self.series.get(name).cloned().unwrap_or_default()
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
