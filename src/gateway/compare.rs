//! Compares the canonical request that the gateway echoed with the one that was signed.

/// The first part of a canonical request that differs from ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// They are equal, so it is the secret key that differs.
    None,
    /// The method.
    Method,
    /// The path.
    Path,
    /// A query pair.
    QueryPair {
        /// Its place in canonical order, from 1.
        position: usize,
        /// Its name, if that is at most 40 unreserved characters.
        name: Option<String>,
        /// What happened to it.
        change: Change,
    },
    /// A signed header.
    Header {
        /// Its name, if it is one of those that we signed.
        name: Option<String>,
        /// What happened to it.
        change: Change,
    },
    /// The list of the signed headers.
    SignedHeaders,
    /// The hash of the body, or what stands for it.
    Payload,
    /// The echo ends early, and is equal as far as it goes.
    CutOff,
    /// One of the two is no canonical request.
    Unreadable,
}

/// What happened to a part between us and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It has another value.
    Altered,
    /// The gateway does not have it.
    Missing,
    /// Only the gateway has it.
    Added,
    /// It stands in another place.
    Moved,
}

/// Compares the canonical request that the gateway echoed with ours.
///
/// `ours` has its lines apart by `\n`, `echoed` by `|` (or by newlines), and may be cut off at the
/// end.
#[must_use]
pub fn compare(ours: &str, echoed: &str) -> Difference {
    // Both are split at `|`, so that one in a header value splits in the same way on both sides. In
    // a path or query it is encoded.
    let ours_flat = ours.replace('\n', "|");
    let echoed_flat = echoed.replace("\r\n", "|").replace('\n', "|");
    if ours_flat == echoed_flat {
        return Difference::None;
    }
    let signed = Parts::split(&ours_flat).filter(|signed| signed.payload.is_some());
    let (Some(signed), Some(seen)) = (signed, Parts::split(&echoed_flat)) else {
        return Difference::Unreadable;
    };
    if ours_flat.starts_with(echoed_flat.trim_end_matches('.')) {
        return Difference::CutOff;
    }
    signed.first_difference(&seen)
}

/// The parts of a canonical request. Those that were cut off are empty or `None`.
struct Parts<'a> {
    method: &'a str,
    path: &'a str,
    query: Vec<(&'a str, &'a str)>,
    headers: Vec<(&'a str, &'a str)>,
    signed_headers: Option<&'a str>,
    payload: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let mut fields = text.split('|');
        let method = fields.next().filter(|method| is_method(method))?;
        let path = fields.next().filter(|path| path.starts_with('/'))?;
        let pairs = fields.next().unwrap_or_default().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let lines = fields.by_ref().take_while(|line| !line.is_empty());
        // A line without a colon is the rest of a value that holds a `|`: it has no name.
        let headers = lines.map(|line| line.split_once(':').unwrap_or(("", line)));
        Some(Self {
            method,
            path,
            query: query.collect(),
            headers: headers.collect(),
            signed_headers: fields.next(),
            payload: fields.next(),
        })
    }

    fn first_difference(&self, seen: &Self) -> Difference {
        if self.method != seen.method {
            return Difference::Method;
        }
        if self.path != seen.path {
            return Difference::Path;
        }
        let shown = |name: &str| is_plain(name).then(|| name.to_owned());
        if let Some((position, name, change)) = first_change(&self.query, &seen.query) {
            let name = shown(name);
            return Difference::QueryPair {
                position,
                name,
                change,
            };
        }
        if let Some((_, name, change)) = first_change(&self.headers, &seen.headers) {
            let name = shown(name).filter(|name| self.signs(name));
            return Difference::Header { name, change };
        }
        if self.signed_headers != seen.signed_headers {
            return Difference::SignedHeaders;
        }
        match (self.payload, seen.payload) {
            (Some(ours), Some(theirs)) if is_followed_by_prose(ours, theirs) => Difference::None,
            _ => Difference::Payload,
        }
    }

    fn signs(&self, name: &str) -> bool {
        let mut signed = self.signed_headers.unwrap_or_default().split(';');
        signed.any(|signed| signed == name)
    }
}

/// The first place, from 1, where two lists of names and values differ, the name there, and the
/// change.
fn first_change<'a>(
    ours: &[(&'a str, &'a str)],
    seen: &[(&'a str, &'a str)],
) -> Option<(usize, &'a str, Change)> {
    let at = (0..ours.len().max(seen.len())).find(|at| ours.get(*at) != seen.get(*at))?;
    let holds = |list: &[(&str, &str)], name| list[at..].iter().any(|pair| pair.0 == name);
    let (name, change) = match (ours.get(at), seen.get(at)) {
        (Some(mine), None) => (mine.0, Change::Missing),
        (None, Some(theirs)) => (theirs.0, Change::Added),
        (Some(mine), Some(theirs)) if mine.0 == theirs.0 => {
            // One of several pairs with the same name can be gone, or be new.
            let change = match ours.len().cmp(&seen.len()) {
                std::cmp::Ordering::Greater if ours.get(at + 1) == Some(theirs) => Change::Missing,
                std::cmp::Ordering::Less if seen.get(at + 1) == Some(mine) => Change::Added,
                _ => Change::Altered,
            };
            (mine.0, change)
        }
        (Some(mine), Some(_)) if !holds(seen, mine.0) => (mine.0, Change::Missing),
        (Some(mine), Some(theirs)) if holds(ours, theirs.0) => (mine.0, Change::Moved),
        (_, Some(theirs)) => (theirs.0, Change::Added),
        (None, None) => return None,
    };
    Some((at + 1, name, change))
}

fn is_method(text: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

fn is_plain(name: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=40).contains(&name.len()) && name.bytes().all(is_unreserved)
}

/// The echo ends the message today. If text follows it one day, the hash is still recognised.
fn is_followed_by_prose(ours: &str, theirs: &str) -> bool {
    let rest = theirs.strip_prefix(ours);
    rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
}
