//! Mistakes with the method, the headers, their names, and the layout of the lines.

use super::super::lines::Lines;
use super::super::request::{Header, Request};
use super::Mistake;

/// What signers make of the headers; `names` is `SignedHeaders` as it came.
pub(super) fn mistakes(request: &Request, lines: &Lines, names: &str) -> Vec<Mistake> {
    let mut mistakes = methods(&lines.method);
    mistakes.extend(hosts(lines.header("host").unwrap_or_default()));
    mistakes.extend(content_types(
        lines.header("content-type").unwrap_or_default(),
    ));
    mistakes.extend(values(&request.headers));
    mistakes.extend(orders(names));
    mistakes.extend(layouts());
    mistakes
}

fn methods(method: &str) -> Vec<Mistake> {
    let small = method.to_ascii_lowercase();
    let first = method.len().min(1);
    let capitalised = [&method[..first], &small[first..]].concat();
    let spelt = [small, capitalised].map(|spelt| {
        let says = format!("the method was signed as \"{spelt}\"; write it in capital letters");
        (says, spelt)
    });
    let others = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"].map(|other| {
        let says = format!("the method was signed as {other}; sign the method that is sent");
        (says, other.to_owned())
    });
    spelt
        .into_iter()
        .chain(others)
        .map(|(says, method)| Mistake::new(says, move |lines| lines.method.clone_from(&method)))
        .collect()
}

fn hosts(host: &str) -> Vec<Mistake> {
    // The colons of an IPv6 address are in brackets.
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let hosts = [
        (
            "the host was signed without its port; sign the Host header as it is sent",
            bare.to_owned(),
        ),
        (
            "the host was signed with the port 443; sign the Host header as it is sent",
            format!("{bare}:443"),
        ),
        (
            "the host was signed with the port 80; sign the Host header as it is sent",
            format!("{bare}:80"),
        ),
        (
            "the host was signed in small letters; sign the Host header as it is sent",
            host.to_ascii_lowercase(),
        ),
    ];
    set("host", hosts).collect()
}

fn content_types(content_type: &str) -> Vec<Mistake> {
    let bare = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_end();
    let with = |parameter: &str| {
        (
            "the Content-Type was signed with another parameter than it is sent with; set it before signing, or leave it unsigned",
            format!("{bare}{parameter}"),
        )
    };
    let types = [
        (
            "the Content-Type was signed without its parameters; set it before signing, or leave it unsigned",
            bare.to_owned(),
        ),
        with("; charset=utf-8"),
        with(";charset=utf-8"),
        with("; charset=UTF-8"),
        with(";charset=UTF-8"),
        with(";charset=utf8"),
    ];
    set("content-type", types).collect()
}

/// Mistakes that put another value into a header.
fn set(
    name: &'static str,
    values: impl IntoIterator<Item = (&'static str, String)>,
) -> impl Iterator<Item = Mistake> {
    values
        .into_iter()
        .map(move |(says, value)| Mistake::new(says, move |lines| lines.set_header(name, &value)))
}

/// Blanks in and around values.
fn values(headers: &[Header]) -> Vec<Mistake> {
    let all = |read: fn(&str) -> String| {
        let values: Vec<(String, String)> = headers
            .iter()
            .filter_map(|header| {
                Some((
                    header.name.to_ascii_lowercase(),
                    str::from_utf8(&header.raw).ok()?,
                ))
            })
            .map(|(name, raw)| (name, read(raw)))
            .collect();
        move |lines: &mut Lines| {
            for (name, value) in &values {
                lines.set_header(name, value);
            }
        }
    };
    let untrimmed =
        "values of headers were signed with the blanks around them; take those off before signing";
    vec![
        // The blank after the colon is not of the value for most clients.
        Mistake::new(
            untrimmed,
            all(|raw| raw.strip_prefix(' ').unwrap_or(raw).to_owned()),
        ),
        Mistake::new(untrimmed, all(str::to_owned)),
        Mistake::new(
            "blanks within values of headers were signed as one; keep them as they are sent",
            all(|raw| raw.split_ascii_whitespace().collect::<Vec<_>>().join(" ")),
        ),
    ]
}

/// In which order and spelling the names come: as in `SignedHeaders`, which is sorted here.
fn orders(names: &str) -> Vec<Mistake> {
    let given: Vec<String> = names.split(';').map(str::to_owned).collect();
    let small: Vec<String> = given.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut sorted = given.clone();
    sorted.sort_by_key(|name| name.to_ascii_lowercase());
    let order = "the signed headers were not sorted; sort them by their names in small letters, in SignedHeaders too";
    let letters = "names of headers were signed with capital letters; write them in small ones, in SignedHeaders too";
    let list = |says: &str, names: &[String]| {
        let names = names.join(";");
        Mistake::new(says, move |lines| lines.names.clone_from(&names))
    };
    let list_and_lines = |says: &str, names: &[String]| {
        let names = names.to_vec();
        Mistake::new(says, move |lines| name_as(lines, &names))
    };
    vec![
        list(order, &small),
        list_and_lines(order, &small),
        list(letters, &given),
        list(letters, &sorted),
        list_and_lines(letters, &given),
        list_and_lines(letters, &sorted),
    ]
}

/// Gives the headers these names, in this order.
fn name_as(lines: &mut Lines, names: &[String]) {
    let headers = names.iter().filter_map(|name| {
        let value = lines.header(&name.to_ascii_lowercase())?;
        Some((name.clone(), value.to_owned()))
    });
    lines.headers = headers.collect();
    lines.names = names.join(";");
}

fn layouts() -> [Mistake; 2] {
    [
        Mistake::new(
            "the empty line between the headers and their names was left out; each header ends its line, and an empty line follows",
            |lines| lines.gap = "",
        ),
        Mistake::new(
            "a line end was signed after the hash of the body; the canonical request ends with the hash",
            |lines| lines.end = "\n",
        ),
    ]
}
