//! Converts the steps of a request to notes of the inspector. Nothing here runs for a request that is
//! not recorded.

use std::rc::Rc;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, Version, request};
use hyper::body::Body;
use tokio::task::spawn_local;
use tokio_util::task::AbortOnDropHandle;

use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::route::Routed;
use super::{Pipeline, Settings};
use crate::error::Error;
use crate::gateway::Meaning;
use crate::inspect::capture::Capture;
use crate::inspect::note::{AttemptResponse, Caller, Event, Relayed, RoutedTo};
use crate::inspect::recorder::{Recorder, WorkerRecorder};
use crate::signature::PayloadHash;

/// The notes of one worker, with the task that sends them in time.
#[derive(Debug)]
pub(super) struct Recording {
    worker: Rc<WorkerRecorder>,
    _flushing: AbortOnDropHandle<()>,
}

impl Recording {
    /// The recording of a pipeline, if there is an inspector. A reload keeps the one of before.
    pub(super) fn new(settings: &Settings, before: Option<&Pipeline>) -> Option<Rc<Self>> {
        let recorder: &Arc<Recorder> = settings.recorder.as_ref()?;
        let before = before.and_then(|before| before.recording.as_ref());
        let is_same = |before: &&Rc<Self>| Arc::ptr_eq(before.worker.recorder(), recorder);
        let kept = before.filter(is_same).cloned();
        Some(kept.unwrap_or_else(|| {
            let worker = WorkerRecorder::new(recorder);
            let flushed = Rc::clone(&worker);
            let flushing = spawn_local(async move { flushed.flush_in_time().await });
            let _flushing = AbortOnDropHandle::new(flushing);
            Rc::new(Self { worker, _flushing })
        }))
    }
}

/// Begins to record a request whose head was read.
pub(super) fn begin(pipeline: &Pipeline, head: &request::Parts, context: &RequestContext) {
    let Some(recording) = &pipeline.recording else {
        return;
    };
    let caller = Caller {
        listener: context.caller.listener.name(),
        replay_of: context.caller.replay_of(),
        listener_route: context.caller.rules.route,
    };
    let secrets = |see: &mut dyn FnMut(&_)| pipeline.credentials.redactors(see);
    let request = (context.id, context.head_read);
    let capture = recording.worker.capture(request, caller, head, secrets);
    let _ = capture.map(|capture| context.capture.set(capture));
}

/// Notes the route of a request, and the hash of its body once that is known.
pub(super) fn routed(settings: &Settings, routed: &Routed, hash: Option<&PayloadHash>) {
    let Some(capture) = routed.context.capture() else {
        return;
    };
    let route = settings.route(routed.route);
    capture.note(Event::Routed(Box::new(RoutedTo {
        route: settings.route_states[routed.route].label,
        caller: routed.context.caller_name().to_owned(),
        upstream: route.upstream.origin() + &route.upstream.base_path,
        stage: text(&route.stage),
        body_hash: hash
            .map(|hash| hash.as_str().to_owned())
            .unwrap_or_default(),
    })));
}

/// Notes the gateway's response to the last attempt.
pub(super) fn response(capture: &Capture, reply: &GatewayResponse) {
    let head = &reply.head;
    let echo = match reply.meaning() {
        Some(Meaning::SignatureMismatch {
            echoed: Some(echoed),
        }) => capture.canonical(&echoed.0),
        _ => String::new(),
    };
    let error = reply.error();
    let code = error.map_or_else(String::new, |error| error.code.clone());
    capture.code.replace(code.clone());
    let line = (head.status, head.extensions.get(), head.version);
    capture.note(Event::Response(Box::new(AttemptResponse {
        status: head.status.as_u16(),
        head: capture.response(line, &head.headers),
        code,
        echo,
    })));
}

/// Notes the head that the caller gets: that of the gateway's response, or of the proxy's own to an
/// error.
pub(super) fn relayed<B: Body>(
    capture: &Capture,
    version: Version,
    response: &Response<B>,
    error: Option<&Error>,
) {
    let headers = response.headers();
    capture.answers(headers);
    let own = error.map(ToString::to_string).unwrap_or_default();
    let (message, own_hint) = own.split_once("\nhint: ").unwrap_or((&own, ""));
    let field = |name: &str| headers.get(name).filter(|_| error.is_none()).map(text);
    let hint = field("x-apig-proxy-hint");
    let code = match error {
        Some(error) => format!("PROXY.{}", error.answer().code),
        None => capture.code.take(),
    };
    let line = (response.status(), response.extensions().get(), version);
    let mut head = capture.response(line, headers);
    // hyper adds the length, which it knows from the body.
    let is_complete = matches!(response.status().as_u16(), ..200 | 204 | 304)
        || headers.contains_key(CONTENT_LENGTH);
    let length = response.body().size_hint().exact();
    if let Some(length) = length.filter(|_| !is_complete) {
        let field = format!("content-length: {length}\r\n");
        head.0 = [&head.0, field.as_bytes()].concat().into();
    }
    capture.note(Event::Relayed(Box::new(Relayed {
        status: response.status().as_u16(),
        head,
        code,
        message: message.to_owned(),
        hint: hint.unwrap_or_else(|| own_hint.to_owned()),
        gateway_request_id: field("x-request-id").unwrap_or_default(),
    })));
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
