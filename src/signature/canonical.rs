//! The canonical request: the text whose hash is signed.
//!
//! Its `Display` is the exact text. Signing never makes that text: the same code writes it into the
//! hash. Logs get [`CanonicalRequest::redacted`], since header values and queries can hold secrets.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::encoding::{self, Slash};
use super::{
    Algorithm, CONTENT_HASH_HEADER, DATE_HEADER, Payload, PayloadHash, PayloadHasher,
    SignatureError, SigningDate, Target,
};

/// Headers whose values are shown in logs: the proxy sets them itself, and they hold no secret.
const SHOWN_HEADERS: [&str; 7] = [
    "content-type",
    "host",
    CONTENT_HASH_HEADER,
    "x-sdk-content-sm3",
    DATE_HEADER,
    "x-project-id",
    "x-stage",
];

/// A canonical request (API Request Signing Guide, "Step 1").
pub struct CanonicalRequest<'a> {
    algorithm: Algorithm<'a>,
    method: &'a str,
    target: Target<'a>,
    /// Sorted by name; names in lower case, each once; values trimmed.
    headers: Vec<(Cow<'a, str>, &'a str)>,
    date: SigningDate,
    payload: Payload<'a>,
}

impl<'a> CanonicalRequest<'a> {
    /// The canonical request of the given headers, the date, and the header of a declared payload.
    ///
    /// Names may be in any case and order; values are signed without surrounding blanks.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Method`], [`SignatureError::HeaderName`] (also for `_`, which gateways drop),
    /// [`SignatureError::HeaderValue`], and [`SignatureError::DuplicateHeader`], also when the headers
    /// have one that is added here.
    pub fn new(
        algorithm: Algorithm<'a>,
        method: &'a str,
        target: Target<'a>,
        headers: &[(&'a str, &'a str)],
        date: &'a SigningDate,
        payload: Payload<'a>,
    ) -> Result<Self, SignatureError> {
        if headers.iter().any(|(name, _)| name.contains('_')) {
            return Err(SignatureError::HeaderName);
        }
        let mut all = Vec::with_capacity(headers.len() + 2);
        all.extend_from_slice(headers);
        all.push((DATE_HEADER, date.as_str()));
        if let Payload::Declared(value) = payload {
            all.push((algorithm.content_hash_header(), value));
        }
        Self::received(algorithm, method, target, all, *date, payload)
    }

    /// The canonical request of another signer: of exactly the given headers.
    pub(super) fn received(
        algorithm: Algorithm<'a>,
        method: &'a str,
        target: Target<'a>,
        headers: Vec<(&'a str, &'a str)>,
        date: SigningDate,
        payload: Payload<'a>,
    ) -> Result<Self, SignatureError> {
        let is_method =
            |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_' | b'0'..=b'9');
        if method.is_empty() || !method.bytes().all(is_method) {
            return Err(SignatureError::Method);
        }
        let mut headers = headers
            .into_iter()
            .map(|(name, value)| Ok((canonical_name(name)?, canonical_value(value)?)))
            .collect::<Result<Vec<_>, _>>()?;
        headers.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if headers.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(SignatureError::DuplicateHeader);
        }
        Ok(Self {
            algorithm,
            method,
            target,
            headers,
            date,
            payload,
        })
    }

    /// The hash of the text, as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        self.digest().as_str().to_owned()
    }

    pub(super) fn algorithm(&self) -> Algorithm<'a> {
        self.algorithm
    }

    pub(super) fn date(&self) -> &SigningDate {
        &self.date
    }

    /// The string to sign (API Request Signing Guide, "Step 2").
    #[must_use]
    pub fn string_to_sign(&self) -> String {
        let mut text = String::with_capacity(98);
        self.write_string_to_sign(&mut text)
            .expect("writing to a string cannot fail");
        text
    }

    /// The text for logs: the same lines without the query, and without the values of headers that
    /// may hold a secret.
    #[must_use]
    pub fn redacted(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            self.write_first_lines(f)?;
            match self.target.pairs().count() {
                0 => f.write_char('\n')?,
                pairs => writeln!(f, "[{pairs} query pairs]")?,
            }
            self.write_last_lines(f, |name| SHOWN_HEADERS.contains(&name))
        })
    }

    pub(super) fn write_string_to_sign(&self, out: &mut impl Write) -> fmt::Result {
        write_string_to_sign(out, self.algorithm, &self.date, &self.digest())
    }

    pub(super) fn write_signed_headers(&self, out: &mut impl Write) -> fmt::Result {
        for (at, (name, _)) in self.headers.iter().enumerate() {
            if at > 0 {
                out.write_char(';')?;
            }
            out.write_str(name)?;
        }
        Ok(())
    }

    fn digest(&self) -> PayloadHash {
        let mut hasher = PayloadHasher::new(self.algorithm);
        self.write(&mut hasher).expect("hashing cannot fail");
        hasher.finish()
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        self.write_first_lines(out)?;
        self.write_query(out)?;
        out.write_char('\n')?;
        self.write_last_lines(out, |_| true)
    }

    fn write_first_lines(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str(self.method)?;
        out.write_char('\n')?;
        // The closing slash is of the canonical form only: the path on the wire keeps its own end.
        let last = encoding::write_encoded(out, self.target.path(), Slash::Separates)?;
        out.write_str(if last == Some(b'/') { "\n" } else { "/\n" })
    }

    fn write_query(&self, out: &mut impl Write) -> fmt::Result {
        let mut pairs: Vec<_> = self.target.pairs().collect();
        // By decoded name, then decoded value: what most official SDKs do.
        let key = |text: &'a str| encoding::decoded(text);
        pairs.sort_by(|a, b| key(a.0).cmp(key(b.0)).then_with(|| key(a.1).cmp(key(b.1))));
        for (at, (name, value)) in pairs.into_iter().enumerate() {
            if at > 0 {
                out.write_char('&')?;
            }
            encoding::write_encoded(out, name, Slash::Encoded)?;
            out.write_char('=')?;
            encoding::write_encoded(out, value, Slash::Encoded)?;
        }
        Ok(())
    }

    fn write_last_lines(&self, out: &mut impl Write, shown: impl Fn(&str) -> bool) -> fmt::Result {
        for (name, value) in &self.headers {
            let value = if shown(name) { value } else { "[redacted]" };
            [name, ":", value, "\n"]
                .iter()
                .try_for_each(|text| out.write_str(text))?;
        }
        out.write_char('\n')?;
        self.write_signed_headers(out)?;
        out.write_char('\n')?;
        out.write_str(match self.payload {
            Payload::Hash(hash) => hash.as_str(),
            Payload::Declared(value) => value,
        })
    }
}

impl fmt::Display for CanonicalRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl fmt::Debug for CanonicalRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CanonicalRequest")
            .field(&format_args!("{:?}", self.redacted().to_string()))
            .finish()
    }
}

/// The string to sign of a canonical request in text form, like one that a gateway has echoed. For
/// requests to send, use [`CanonicalRequest::string_to_sign`].
#[must_use]
pub fn string_to_sign(algorithm: Algorithm<'_>, canonical: &str, date: &SigningDate) -> String {
    let mut hasher = PayloadHasher::new(algorithm);
    hasher.update(canonical.as_bytes());
    let mut text = String::with_capacity(98);
    write_string_to_sign(&mut text, algorithm, date, &hasher.finish())
        .expect("writing to a string cannot fail");
    text
}

fn write_string_to_sign(
    out: &mut impl Write,
    algorithm: Algorithm<'_>,
    date: &SigningDate,
    hash: &PayloadHash,
) -> fmt::Result {
    for line in [algorithm.name(), date.as_str()] {
        out.write_str(line)?;
        out.write_char('\n')?;
    }
    if let Some(scope) = algorithm.scope(date) {
        out.write_str(&scope)?;
        out.write_char('\n')?;
    }
    out.write_str(hash.as_str())
}

fn canonical_name(name: &str) -> Result<Cow<'_, str>, SignatureError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(SignatureError::HeaderName);
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

fn canonical_value(value: &str) -> Result<&str, SignatureError> {
    if !value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    {
        return Err(SignatureError::HeaderValue);
    }
    Ok(value.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_given_twice_or_that_gateways_read_differently_are_refused() {
        let date = SigningDate::parse("20261123T080000Z").unwrap();
        for (name, value, error) in [
            ("host", "b", SignatureError::DuplicateHeader),
            ("HOST", "b", SignatureError::DuplicateHeader),
            ("X-Sdk-Date", "b", SignatureError::DuplicateHeader),
            ("x_a", "1", SignatureError::HeaderName),
            ("x a", "1", SignatureError::HeaderName),
            ("x-a", "é", SignatureError::HeaderValue),
            ("x-a", "1\nx-b:2", SignatureError::HeaderValue),
        ] {
            let headers = [("host", "a"), (name, value)];
            let target = Target::parse("/").unwrap();
            let payload = Payload::Hash(&PayloadHash::EMPTY);
            let algorithm = Algorithm::HmacSha256;
            let request = CanonicalRequest::new(algorithm, "GET", target, &headers, &date, payload);
            assert_eq!(request.err(), Some(error), "{name}: {value}");
        }
    }
}
