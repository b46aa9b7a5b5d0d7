//! The shapes in which a signed request is printed.

use serde_json::{Map, Value, json};

use super::SignArguments;
use super::request::SignedRequest;

/// The headers to send, one a line.
pub(super) fn headers(request: &SignedRequest) -> String {
    let lines: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join("\n")
}

/// A command that can be pasted into a shell.
pub(super) fn curl(request: &SignedRequest, arguments: &SignArguments) -> String {
    // Without these, curl resolves dots and expands brackets, and another URL than the signed one is sent.
    let mut words = vec![
        "curl".to_owned(),
        "--path-as-is".to_owned(),
        "-g".to_owned(),
    ];
    let option = |name: &str, value: &str| [name.to_owned(), quoted(value)];
    words.extend(option("-X", &request.method));
    for (name, value) in &request.headers {
        // An empty value takes the header away, unless the name ends with a semicolon.
        let header = if value.is_empty() {
            format!("{name};")
        } else {
            format!("{name}: {value}")
        };
        words.extend(option("-H", &header));
    }
    if let Some(path) = &arguments.request.data_file {
        words.extend(option("--data-binary", &format!("@{}", path.display())));
    } else if let Some(data) = &arguments.request.data {
        // --data-raw, since --data-binary would take a leading "@" for a file.
        words.extend(option("--data-raw", data));
    }
    words.push(quoted(&request.url));
    words.join(" ")
}

/// Every stage of the signature.
pub(super) fn json(request: &SignedRequest) -> String {
    let headers: Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let stages = json!({
        "method": request.method,
        "url": request.url,
        "canonical_request": request.canonical_request,
        "string_to_sign": request.string_to_sign,
        "authorization": request.authorization,
        "headers": headers,
    });
    format!("{stages:#}")
}

/// A word for a shell: as it is if it has nothing special, in single quotes otherwise.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
