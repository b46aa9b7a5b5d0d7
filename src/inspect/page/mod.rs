//! The page and its files. They are part of the program, contain nothing of any request, and are
//! served without a token.

use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{self, ApiBody};
use super::problem::{self, Problem, method_not_allowed};

/// The path of the page, and the prefix of all paths of the inspector.
pub(super) const PATH: &str = "/inspect/";

/// What a page may load and do: its own files and requests, no inline script or style, no HTML from
/// text, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const FEATURES: &str = "camera=(), geolocation=(), microphone=()";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file: its path below `/inspect/`, its type, and its content.
struct File(&'static str, &'static str, &'static str);

macro_rules! file {
    ($type:ident $name:literal) => {
        File(concat!("a/", $name), $type, include_str!($name))
    };
}

const FILES: [File; 10] = [
    File("", HTML, include_str!("index.html")),
    file!(SCRIPT "detail.js"),
    file!(SCRIPT "list.js"),
    file!(SCRIPT "main.js"),
    file!(STYLE "page.css"),
    file!(SCRIPT "state.js"),
    file!(SCRIPT "text.js"),
    file!(SCRIPT "vendor/htm.mjs"),
    file!(SCRIPT "vendor/preact.mjs"),
    file!(SCRIPT "view.js"),
];

/// Answers with the page, one of its files, or a redirect to the page.
pub(super) fn respond(head: &Parts) -> Result<Response<ApiBody>, Problem> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Ok(method_not_allowed("GET, HEAD"));
    }
    let Some(name) = head.uri.path().strip_prefix(PATH) else {
        let status = StatusCode::PERMANENT_REDIRECT;
        let mut response = answer::respond(status, "text/plain", Bytes::new());
        let page = HeaderValue::from_static(PATH);
        response.headers_mut().insert(LOCATION, page);
        return Ok(response);
    };
    file(name, &head.headers).ok_or(problem::NO_FILE)
}

/// The file with this path below `/inspect/`; 304 if the browser has it already.
fn file(path: &str, asked: &HeaderMap) -> Option<Response<ApiBody>> {
    let mut files = FILES.iter();
    let File(_, content_type, content) = files.find(|File(name, ..)| *name == path)?;
    // It changes with the file and with the version of the program.
    let hash = hex::encode(&Sha256::digest(content)[..8]);
    let tag = format!("\"{}-{hash}\"", env!("CARGO_PKG_VERSION"));
    let mut known = asked.get_all(IF_NONE_MATCH).iter();
    let (status, content) = match known.any(|known| *known == *tag) {
        true => (StatusCode::NOT_MODIFIED, ""),
        false => (StatusCode::OK, *content),
    };
    let content = Bytes::from_static(content.as_bytes());
    let mut response = answer::respond(status, content_type, content);
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", FEATURES),
        // Browsers ask each time, and get it only if it has changed.
        ("cache-control", "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(ETAG, HeaderValue::try_from(tag).ok()?);
    Some(response)
}
