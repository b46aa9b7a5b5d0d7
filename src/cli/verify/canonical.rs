//! A canonical request in parts, each of which can be replaced, and compared without secrets.

/// Headers whose values are secrets, which are never printed.
const SECRET_HEADERS: [&str; 7] = [
    "apikey",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-apig-appcode",
    "x-auth-token",
    "x-security-token",
];

/// A part of a canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Method,
    Path,
    Query,
    /// The lines of the headers, an empty line, and `SignedHeaders`.
    Headers,
    Payload,
}

/// A canonical request by its parts; joined by line feeds they are its text.
#[derive(Clone, Debug)]
pub(super) struct CanonicalParts([String; 5]);

impl CanonicalParts {
    /// Splits a canonical request. None of its parts but the headers has a line feed in it.
    pub(super) fn new(canonical: &str) -> Self {
        let mut parts = canonical.splitn(4, '\n').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (method, path, query, rest) = (next(), next(), next(), next());
        let (headers, payload) = rest.rsplit_once('\n').unwrap_or_default();
        Self([method, path, query, headers.to_owned(), payload.to_owned()])
    }

    /// The text of a part.
    pub(super) fn get(&self, part: Part) -> &str {
        &self.0[part as usize]
    }

    /// Replaces a part.
    pub(super) fn set(&mut self, part: Part, value: &str) {
        value.clone_into(&mut self.0[part as usize]);
    }

    /// The lines of the headers by name and value, and `SignedHeaders`.
    pub(super) fn headers(&self) -> (impl Iterator<Item = (&str, &str)>, &str) {
        let (lines, names) = self
            .get(Part::Headers)
            .rsplit_once('\n')
            .unwrap_or_default();
        (lines.lines().filter_map(|line| line.split_once(':')), names)
    }

    /// The canonical request as one text.
    pub(super) fn text(&self) -> String {
        self.0.join("\n")
    }

    /// Without the values of headers that are secrets.
    pub(super) fn redacted(&self) -> Self {
        let line = |line: &str| match line.split_once(':') {
            Some((name, _)) if SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str()) => {
                format!("{name}:[redacted]")
            }
            _ => line.to_owned(),
        };
        let headers: Vec<String> = self.get(Part::Headers).split('\n').map(line).collect();
        let mut redacted = self.clone();
        redacted.set(Part::Headers, &headers.join("\n"));
        redacted
    }

    /// The lines that differ in `other`, in pairs, without secrets.
    pub(super) fn differing(&self, other: &Self) -> Vec<(String, String)> {
        let (ours, theirs) = (self.redacted(), other.redacted());
        let parts = ours.0.iter().zip(&theirs.0);
        let lines = parts.flat_map(|(ours, theirs)| ours.split('\n').zip(theirs.split('\n')));
        lines
            .filter(|(ours, theirs)| ours != theirs)
            .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
            .collect()
    }
}
