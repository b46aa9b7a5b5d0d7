//! The formats in which a signed request is printed.

use serde::de::IgnoredAny;
use serde_json::{Map, json};

use super::{Format, SignArguments, SignedRequest};

/// The request in the format that was asked for.
pub(super) fn text(request: &SignedRequest, arguments: &SignArguments) -> String {
    match arguments.format {
        Format::Headers => headers(request),
        Format::Curl => curl(request, arguments),
        Format::Json => json(request),
    }
}

/// The headers to send, one a line.
fn headers(request: &SignedRequest) -> String {
    let headers = request.headers.iter();
    let lines: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join("\n")
}

/// A command that can be pasted into a shell.
fn curl(request: &SignedRequest, arguments: &SignArguments) -> String {
    // Without these options, curl resolves dots and expands brackets, and sends another URL than the signed one.
    let mut line = format!("curl --path-as-is -g -X {}", quoted(&request.method));
    let mut option = |name: &str, value: &str| line.extend([" ", name, " ", &quoted(value)]);
    for (name, value) in &request.headers {
        // curl removes a header with an empty value, unless the name ends with a semicolon.
        if value.is_empty() {
            option("-H", &format!("{name};"));
        } else {
            option("-H", &format!("{name}: {value}"));
        }
    }
    // Without a type, curl sends a form.
    let has_type = request
        .headers
        .iter()
        .any(|header| header.0.eq_ignore_ascii_case("content-type"));
    let data = arguments.request.data.as_deref().unwrap_or_default();
    if !has_type && serde_json::from_str::<IgnoredAny>(data).is_ok() {
        option("-H", "content-type: application/json");
    }
    if let Some(path) = &arguments.request.data_file {
        option("--data-binary", &format!("@{}", path.display()));
    } else if let Some(data) = &arguments.request.data {
        // --data-raw, since --data-binary takes a leading "@" for a file.
        option("--data-raw", data);
    }
    format!("{line} {}", quoted(&request.url))
}

/// Every stage of the signature.
fn json(request: &SignedRequest) -> String {
    let headers = request.headers.iter();
    let headers: Map<_, _> = headers
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

/// A word for a shell, in single quotes if it has special characters.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
