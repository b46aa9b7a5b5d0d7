//! Compares the canonical request that the gateway echoed with the one that was signed.

use std::iter;

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// They are equal, so it is the secret key that differs.
    Equal,
    /// The first part that differs and what happened to it, like `the path was changed`.
    Different(String),
    /// The echo is cut off before any difference, or is no canonical request.
    Unknown,
}

/// Compares the canonical request that the gateway echoed with ours.
///
/// Lines end with `\n` in `ours`, and with `|` or a newline in `echoed`, which may be cut off at its
/// end. Query pairs are named by position, and by name if that is at most 40 unreserved characters.
pub(super) fn compare(ours: &str, echoed: &str) -> Comparison {
    // Both are split at `|`, so that one in a header value splits in the same way on both sides. In
    // a path or query it is encoded.
    let ours = ours.replace('\n', "|");
    let echoed = echoed.replace("\r\n", "|").replace('\n', "|");
    match (Parts::split(&ours), Parts::split(&echoed)) {
        _ if ours == echoed => Comparison::Equal,
        (Some(_), Some(_)) if ours.starts_with(echoed.trim_end_matches('.')) => Comparison::Unknown,
        (Some(signed), Some(seen)) => signed
            .first_difference(&seen)
            .map_or(Comparison::Equal, Comparison::Different),
        _ => Comparison::Unknown,
    }
}

/// The first line in which two canonical requests differ.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Difference {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// What happened, like `the path was changed`.
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) gateway: String,
}

/// Compares the canonical request that the gateway echoed with ours, and shows where they differ;
/// `None` if they are equal, or if the echo ends before any difference.
pub(crate) fn difference(ours: &str, echoed: &str) -> Option<Difference> {
    let Comparison::Different(what) = compare(ours, echoed) else {
        return None;
    };
    let lines = |text| {
        let lines = str::split(text, ['\n', '|']).map(|line| line.trim_end_matches('\r'));
        lines.chain(iter::repeat(""))
    };
    // There are no more lines than bytes, and one.
    let most = ours.len().max(echoed.len()) + 1;
    let mut all = lines(ours).zip(lines(echoed)).take(most).enumerate();
    let (at, (ours, gateway)) = all.find(|(_, (ours, gateway))| ours != gateway)?;
    Some(Difference {
        line: at + 1,
        what,
        ours: ours.to_owned(),
        gateway: gateway.to_owned(),
    })
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The parts of a canonical request. Those that were cut off are empty.
struct Parts<'a> {
    method: &'a str,
    path: &'a str,
    query: Pairs<'a>,
    headers: Pairs<'a>,
    signed_headers: &'a str,
    payload: &'a str,
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
            signed_headers: fields.next().unwrap_or_default(),
            payload: fields.next().unwrap_or_default(),
        })
    }

    fn first_difference(&self, seen: &Self) -> Option<String> {
        if self.method != seen.method {
            return Some("the method was changed".to_owned());
        }
        if self.path != seen.path {
            return Some("the path was changed".to_owned());
        }
        if let Some((position, name)) = first_change(&self.query, &seen.query) {
            return Some(match is_plain(name) {
                true => format!("query pair {position} ({name}) was changed"),
                false => format!("query pair {position} was changed"),
            });
        }
        if let Some((_, name)) = first_change(&self.headers, &seen.headers) {
            let is_signed = self.signed_headers.split(';').any(|signed| signed == name);
            return Some(match is_signed && is_plain(name) {
                true => format!("header {name} was changed"),
                false => "a signed header was changed".to_owned(),
            });
        }
        if self.signed_headers != seen.signed_headers {
            return Some("the list of signed headers was changed".to_owned());
        }
        // The echo ends the message today. If text follows it one day, the hash is still
        // recognised.
        let rest = seen.payload.strip_prefix(self.payload);
        let is_equal = rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        (!is_equal).then(|| "the body or its hash was changed".to_owned())
    }
}

/// The first place, from 1, where two lists of names and values differ, and the name of what was
/// changed, removed or added there.
fn first_change<'a>(ours: &Pairs<'a>, seen: &Pairs<'a>) -> Option<(usize, &'a str)> {
    let at = (0..ours.len().max(seen.len())).find(|at| ours.get(*at) != seen.get(*at))?;
    let lost = ours.get(at).filter(|mine| !seen.contains(mine));
    let (name, _) = lost.or_else(|| seen.get(at)).or_else(|| ours.get(at))?;
    Some((at + 1, name))
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
