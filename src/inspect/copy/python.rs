//! A program in Python, for the package `requests`.

use std::fmt::Write as _;

use super::{DEFAULTS, ReplaySource};

/// A program for the package `requests`.
pub(super) fn program(source: &ReplaySource, url: &str) -> String {
    let mut headers = Vec::<(&str, Vec<u8>)>::new();
    for (name, value) in &source.headers {
        // A dictionary has each name once.
        match headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => {
                let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
                values.extend([separator, value].concat());
            }
            None => headers.push((name, value.clone())),
        }
    }
    let mut lines = String::new();
    for (name, value) in headers {
        let (name, value) = (literal(name.as_bytes()), literal(&value));
        let _ = writeln!(lines, "        {name}: {value},");
    }
    let own = DEFAULTS.into_iter().chain(["accept-encoding"]);
    for name in own.filter(|name| !source.has(name)) {
        let _ = writeln!(lines, "        \"{name}\": None,");
    }
    let data = match source.body.as_slice() {
        b"" => String::new(),
        body => format!("    data={},\n", bytes_literal(body)),
    };
    format!(
        "import requests\n\nresponse = requests.request(\n    {},\n    {},\n    headers={{\n{lines}    }},\n{data}    \
         allow_redirects=False,\n)\nprint(response.status_code, response.reason)\nprint(response.text)\n",
        literal(source.method.as_bytes()),
        literal(url.as_bytes()),
    )
}

/// A Python string literal; a bytes literal if it is not ASCII.
fn literal(bytes: &[u8]) -> String {
    let literal = bytes_literal(bytes);
    if bytes.is_ascii() {
        literal[1..].to_owned()
    } else {
        literal
    }
}

fn bytes_literal(bytes: &[u8]) -> String {
    let mut literal = "b\"".to_owned();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => literal.extend(['\\', char::from(*byte)]),
            b'\n' => literal.push_str("\\n"),
            b' '..=b'~' => literal.push(char::from(*byte)),
            _ => {
                let _ = write!(literal, "\\x{byte:02x}");
            }
        }
    }
    literal + "\""
}
