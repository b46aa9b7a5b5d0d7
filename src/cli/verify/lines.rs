//! A canonical request taken apart, so that single lines can be replaced.

use crate::signature::{DATE_HEADER, SigningDate};

/// Headers whose values are secrets, which are never printed.
const SECRET: [&str; 7] = [
    "apikey",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-apig-appcode",
    "x-auth-token",
    "x-security-token",
];

/// The parts of a canonical request, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    /// Between the headers and their names: the end of an empty line.
    pub(super) gap: &'static str,
    pub(super) names: String,
    pub(super) payload: String,
    /// After the payload: nothing.
    pub(super) end: &'static str,
}

impl Lines {
    /// Takes a canonical request apart. None of its parts can have a line end in it.
    pub(super) fn of(canonical: &str) -> Self {
        let mut lines = canonical.split('\n').map(str::to_owned);
        let mut line = || lines.next().unwrap_or_default();
        let (method, path, query) = (line(), line(), line());
        let headers = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let headers = headers
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        Self {
            method,
            path,
            query,
            headers,
            gap: "\n",
            names: line(),
            payload: line(),
            end: "",
        }
    }

    /// The date that is signed.
    pub(super) fn date(&self) -> Option<SigningDate> {
        SigningDate::parse(self.header(DATE_HEADER)?).ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.0 == name)?;
        Some(&header.1)
    }

    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        for header in self.headers.iter_mut().filter(|header| header.0 == name) {
            value.clone_into(&mut header.1);
        }
    }

    /// The canonical request as one text.
    pub(super) fn text(&self) -> String {
        let mut text = [&self.method, "\n", &self.path, "\n", &self.query, "\n"].concat();
        for (name, value) in &self.headers {
            text.extend([name, ":", value, "\n"]);
        }
        text.extend([self.gap, &self.names, "\n", &self.payload, self.end]);
        text
    }

    /// The same without the values of headers that are secrets.
    pub(super) fn redacted(&self) -> Self {
        let mut lines = self.clone();
        for (name, value) in &mut lines.headers {
            if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
                "[redacted]".clone_into(value);
            }
        }
        lines
    }

    /// The lines that are others in `other`, in pairs, without secrets.
    pub(super) fn differing(&self, other: &Self) -> Vec<(String, String)> {
        let (ours, theirs) = (self.redacted().each(), other.redacted().each());
        ours.into_iter()
            .zip(theirs)
            .filter(|(ours, theirs)| ours != theirs)
            .collect()
    }

    fn each(&self) -> Vec<String> {
        let mut lines = vec![self.method.clone(), self.path.clone(), self.query.clone()];
        lines.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}:{value}")),
        );
        lines.extend([self.names.clone(), self.payload.clone()]);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "GET\n/a/\n\nhost:x\nx-a:\nx-security-token:MARKER\n\nhost;x-a;x-security-token\nUNSIGNED-PAYLOAD";

    #[test]
    fn what_is_taken_apart_can_be_put_together() {
        let lines = Lines::of(TEXT);
        assert_eq!(lines.text(), TEXT);
        assert_eq!(
            (lines.header("host"), lines.header("x-a")),
            (Some("x"), Some(""))
        );
    }

    #[test]
    fn secrets_are_not_shown_and_not_compared() {
        let lines = Lines::of(TEXT);
        let mut other = lines.clone();
        other.set_header("x-security-token", "MARKER2");
        other.set_header("host", "y");
        assert!(!lines.redacted().text().contains("MARKER"));
        assert_eq!(
            lines.differing(&other),
            [("host:x".to_owned(), "host:y".to_owned())]
        );
    }
}
