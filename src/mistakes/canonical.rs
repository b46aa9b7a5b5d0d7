//! A canonical request in its five parts, each of which can be replaced and compared.

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
    /// The header lines, an empty line, and `SignedHeaders`.
    Headers,
    Payload,
}

/// A canonical request by its parts; joined by line feeds they are its text.
#[derive(Clone, Debug)]
pub(crate) struct Canonical([String; 5]);

impl Canonical {
    /// Splits a canonical request. Only its headers have line feeds of their own.
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = text.splitn(4, '\n').map(str::to_owned);
        let [method, path, query, rest] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let (headers, payload) = rest.rsplit_once('\n').unwrap_or_default();
        Self([method, path, query, headers.to_owned(), payload.to_owned()])
    }

    pub(super) fn get(&self, part: Part) -> &str {
        &self.0[part as usize]
    }

    pub(super) fn set(&mut self, part: Part, value: &str) {
        value.clone_into(&mut self.0[part as usize]);
    }

    pub(super) fn text(&self) -> String {
        self.0.join("\n")
    }

    /// The text without the values of secret headers.
    pub(crate) fn redacted(&self) -> String {
        let line = |line: &str| match line.split_once(':') {
            Some((name, _)) if SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str()) => {
                format!("{name}:[redacted]")
            }
            _ => line.to_owned(),
        };
        let headers: Vec<String> = self.get(Part::Headers).split('\n').map(line).collect();
        let mut redacted = self.clone();
        redacted.set(Part::Headers, &headers.join("\n"));
        redacted.text()
    }

    /// The lines that differ in `other`, in pairs, without secrets.
    pub(crate) fn differing(&self, other: &Self) -> Vec<(String, String)> {
        let (ours, theirs) = (self.redacted(), other.redacted());
        let lines = ours.split('\n').zip(theirs.split('\n'));
        lines
            .filter(|(ours, theirs)| ours != theirs)
            .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
            .collect()
    }
}
