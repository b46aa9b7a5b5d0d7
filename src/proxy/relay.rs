//! Last step: the gateway's response becomes the response to the caller.

use std::rc::Rc;

use http::header::Entry;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, DATE, LOCATION, SET_COOKIE, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, response};
use hyper::ext::ReasonPhrase;
use secrecy::ExposeSecret;

use super::body::ResponseBody;
use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::location::Local;
use super::redact;
use super::route::Routed;
use super::{Settings, cors, headers, location, respond};

/// The header that says what is wrong with a refused request.
const HINT: HeaderName = HeaderName::from_static("x-apig-proxy-hint");

/// The response of the gateway, as the caller gets it.
pub(super) fn relay(
    settings: &Settings,
    routed: &Routed,
    reply: GatewayResponse,
) -> Response<ResponseBody> {
    let (context, idle) = (&routed.context, settings.idle_timeout(routed.route));
    let mut headers = relayed_headers(settings, routed, &reply);
    let hint = reply.hint.map(HeaderValue::try_from);
    headers.extend(hint.and_then(Result::ok).map(|hint| (HINT, hint)));
    // What the caller still sends is not read any more, so its connection ends with the response.
    let upload = &context.upload;
    if upload.is_stopped.get() && !upload.is_finished.get() && context.version != Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut head = reply.head;
    // The reason phrase may repeat a secret too.
    if reply.redactor.is_some() {
        head.extensions.remove::<ReasonPhrase>();
    }
    let body = ResponseBody::relayed(reply.body, reply.redactor, idle, Rc::clone(context));
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    // hyper keeps the reason phrase there.
    *answer.extensions_mut() = head.extensions;
    answer
}

fn relayed_headers(settings: &Settings, routed: &Routed, reply: &GatewayResponse) -> HeaderMap {
    let (headers, context) = (&reply.head.headers, &routed.context);
    let caller = caller(context);
    let location = headers::only(headers, &LOCATION).filter(|_| context.host.get().is_some());
    let local = location.and_then(|location| {
        let local = location::local(location.as_bytes(), settings, routed.route, &caller)?;
        HeaderValue::try_from(local).ok()
    });
    let mut passed = HeaderMap::with_capacity(headers.len() + 4);
    headers::pass(headers, &mut passed, |name| {
        let is_replaced = local.is_some() && name == LOCATION;
        let is_decoded = reply.is_decoded && name == CONTENT_ENCODING;
        headers::is_for_caller(name) && !is_replaced && !is_decoded
    });
    redact::headers(reply.redactor.as_ref(), &mut passed);
    passed.extend(local.map(|local| (LOCATION, local)));
    if let Entry::Occupied(mut cookies) = passed.entry(SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            let local = location::local_cookie(cookie, settings.route(routed.route), &caller);
            *cookie = local.unwrap_or_else(|| cookie.clone());
        }
    }
    add_framing(&mut passed, &reply.head, context);
    if let Some(origin) = context.origin.get() {
        cors::allow(&mut passed, origin);
    }
    if !passed.contains_key(DATE) {
        passed.insert(DATE, respond::date());
    }
    passed
}

/// Adds what hyper cannot know of the framing of a response.
fn add_framing(passed: &mut HeaderMap, head: &response::Parts, context: &RequestContext) {
    // Without it, hyper sends no trailers over HTTP/1.1.
    if context.takes_trailers && context.version == Version::HTTP_11 {
        for names in head.headers.get_all(TRAILER) {
            passed.append(TRAILER, names.clone());
        }
    }
    // There is no body to measure, but the gateway says how long it would be.
    if (context.is_head || head.status == StatusCode::NOT_MODIFIED)
        && let Some(length) = head.headers.get(CONTENT_LENGTH)
        && let Some(Ok(length)) = length.to_str().ok().map(str::parse::<u64>)
    {
        passed.insert(CONTENT_LENGTH, length.into());
    }
}

/// How the caller of a request reaches routes.
fn caller(context: &RequestContext) -> Local<'_> {
    let host = context.host.get().and_then(|host| host.to_str().ok());
    let identified = context.identified.get();
    let capability = identified.and_then(|caller| caller.capability.as_ref());
    Local {
        host: host.unwrap_or_default(),
        is_tls: context.caller.listener.is_tls(),
        capability: capability.map_or("", |capability| capability.expose_secret()),
        is_selected: context.selected_route().is_some(),
    }
}
