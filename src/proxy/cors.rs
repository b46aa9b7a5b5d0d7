//! Web pages of listed origins (`access.origins`): what their browser has to be told.
//!
//! A browser shows a page no answer of another origin unless the answer says that it may, and before
//! most requests it asks. It is told so here, for listed origins only, and never in the proxy's own
//! error answers.

use super::Settings;
use super::admit::split_target;
use super::body::ResponseBody;
use super::message::{Announced, Response};
use crate::error::Error;
use crate::guard::ListenerKind;
use crate::http1::{RequestHead, push_field};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// How long a browser may keep the answer to its question, in seconds.
const KEPT: &[u8] = b"600";

/// The answer to a browser's question whether it may send a request; `None` if it is another request.
///
/// # Errors
///
/// The guard's.
pub(super) fn preflight(
    settings: &Settings,
    head: &RequestHead,
    listener: ListenerKind,
) -> Result<Option<Response>, Error> {
    let asks =
        head.method() == "OPTIONS" && head.fields.first("access-control-request-method").is_some();
    if !asks {
        return Ok(None);
    }
    let (authority, _) = split_target(head.target(), listener.is_tls());
    let visitor = settings.guard.check_page(listener, authority, head)?;
    let Some(origin) = visitor.origin else {
        return Ok(None);
    };
    let mut answer = b"HTTP/1.1 204 No Content\r\n".to_vec();
    allow(&mut answer, origin);
    let methods = settings.methods.names();
    push_field(
        &mut answer,
        "access-control-allow-methods",
        methods.as_bytes(),
    );
    // A list of names, as the parser has let them through: nothing in it can end the line.
    for asked in head.fields.all("access-control-request-headers") {
        push_field(&mut answer, "access-control-allow-headers", asked);
    }
    if head
        .fields
        .first("access-control-request-private-network")
        .is_some()
    {
        push_field(&mut answer, "access-control-allow-private-network", b"true");
    }
    push_field(&mut answer, "access-control-max-age", KEPT);
    Ok(Some(Response {
        status: 204,
        head: answer,
        length: Announced::Nothing,
        body: ResponseBody::Own(None),
        closes: false,
        flight: None,
    }))
}

/// Tells the browser that the page may see the answer.
pub(super) fn allow(head: &mut Vec<u8>, origin: &str) {
    push_field(head, ALLOW_ORIGIN, origin.as_bytes());
    push_field(head, "vary", b"origin");
}

/// Whether a field of the gateway's would contradict what the browser is told here.
pub(super) fn is_answered_here(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(ALLOW_ORIGIN.as_bytes())
}
