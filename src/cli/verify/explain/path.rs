//! Mistakes with the path.

use super::super::lines::Lines;
use super::Mistake;
use super::percent::{as_javascript, decoded, encoded, in_small_letters};

/// What signers make of `path`, as it is on the wire.
pub(super) fn mistakes(path: &str, lines: &Lines) -> Vec<Mistake> {
    paths(path, &lines.path)
        .into_iter()
        .map(|(says, path)| Mistake::new(says, move |lines| lines.path.clone_from(&path)))
        .collect()
}

fn paths(path: &str, canonical: &str) -> [(&'static str, String); 9] {
    [
        (
            "the path was signed without the closing slash; the canonical path ends with \"/\", whether or not the request's does",
            without_closing_slash(canonical),
        ),
        (
            "the path was signed as it is sent, with another encoding than the canonical one; encode each segment once, and close it with \"/\"",
            closed(path.to_owned()),
        ),
        (
            "the path was signed as it is sent, with another encoding than the canonical one and without the closing slash; encode each segment once, and close it with \"/\"",
            path.to_owned(),
        ),
        (
            "the path was not encoded when it was signed; encode each segment once",
            closed(in_plain(path)),
        ),
        (
            "the path was encoded twice when it was signed; give the signer the path before it is encoded",
            closed(encoded(path.as_bytes(), b"/")),
        ),
        (
            "an encoded slash was signed as \"%2F\"; in the canonical path it is \"/\", as the gateway decodes before it signs",
            closed(with_encoded_slashes(path)),
        ),
        (
            "the path was signed without its empty and dot segments; sign the path that is sent, or send the path without them",
            normalised(canonical),
        ),
        (
            "the path was encoded as by JavaScript's encodeURIComponent; encode ! ' ( ) * too",
            as_javascript(canonical),
        ),
        (
            "the path has escapes in small letters; write them in capital ones, like %2F",
            in_small_letters(canonical),
        ),
    ]
}

fn closed(mut path: String) -> String {
    if !path.ends_with('/') {
        path.push('/');
    }
    path
}

fn without_closing_slash(path: &str) -> String {
    path.strip_suffix('/').unwrap_or(path).to_owned()
}

fn in_plain(path: &str) -> String {
    String::from_utf8_lossy(&decoded(path)).into_owned()
}

fn with_encoded_slashes(path: &str) -> String {
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| encoded(&decoded(segment), b""))
        .collect();
    segments.join("/")
}

fn normalised(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    closed(format!("/{}", segments.join("/")))
}
