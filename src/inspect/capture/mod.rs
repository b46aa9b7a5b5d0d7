//! Captures one request for the inspector. It copies heads and bodies without their secrets, and
//! never keeps a buffer of a connection.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Method, StatusCode, Uri, Version, request};
use hyper::ext::ReasonPhrase;
use tokio::time::Instant;

use super::kept_body::Copied;
use super::note::{Begun, BodyPart, Caller, Event, HeadText, Note, RequestEnd, Side};
use super::recorder::WorkerRecorder;
use super::redact::Hider;
use crate::clock;
use crate::proxy::guard::ListenerKind;
use crate::proxy::redact::Redactor;

/// The header in which callers send their token to the proxy.
const CALLER_TOKEN: &str = "x-apig-proxy-token";

/// The longest head that is kept whole, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The shortest time between notes that only say how much of a body has passed.
const PROGRESS: Duration = Duration::from_millis(100);

/// The capture of one request, from its head to its end.
pub(crate) struct Capture {
    id: u128,
    head_read: Instant,
    worker: Rc<WorkerRecorder>,
    hider: RefCell<Hider>,
    /// Indexed by [`Side`].
    bodies: RefCell<[Copied; 2]>,
    /// When the last note of a body was made.
    noted: Cell<Duration>,
    /// The gateway's error code of the last response.
    pub(crate) code: RefCell<String>,
}

impl WorkerRecorder {
    /// Begins to capture a request; `None` unless it is recorded. `secrets` passes on those that the
    /// request may be sent with.
    pub(crate) fn capture(
        self: &Rc<Self>,
        (id, head_read): (u128, Instant),
        caller: Caller,
        head: &request::Parts,
        secrets: impl FnOnce(&mut dyn FnMut(&Redactor)),
    ) -> Option<Box<Capture>> {
        let is_replay = caller.listener == ListenerKind::Replay.name();
        if !self.takes(head_read, is_replay) {
            return None;
        }
        let mut hider = Hider::new(self.recorder().rules());
        secrets(&mut |secret| hider.add(secret));
        for token in head.headers.get_all(CALLER_TOKEN) {
            hider.found(token.as_bytes());
        }
        let line = (&head.method, &head.uri, head.version);
        let text = request_head(&mut hider, line, &head.headers);
        let body = Copied::new(Side::In, &head.headers, &hider, &self.decoding);
        let capture = Capture {
            id,
            head_read,
            worker: Rc::clone(self),
            hider: RefCell::new(hider),
            bodies: RefCell::new([body, Copied::default()]),
            noted: Cell::default(),
            code: RefCell::default(),
        };
        capture.note(Event::Begun(Box::new(Begun {
            time: clock::timestamp(),
            caller,
            version: version_name(head.version),
            head: text,
        })));
        Some(Box::new(capture))
    }
}

impl Capture {
    /// Adds a note.
    pub(crate) fn note(&self, event: Event) {
        let at = self.head_read.elapsed();
        self.worker.push(Note {
            id: self.id,
            at,
            event,
        });
    }

    /// Hides a secret wherever it occurs from now on.
    pub(crate) fn knows(&self, secret: &Redactor) {
        self.hider.borrow_mut().add(secret);
    }

    /// The head of a request without its secrets.
    pub(crate) fn request(&self, line: (&Method, &Uri, Version), headers: &HeaderMap) -> HeadText {
        request_head(&mut self.hider.borrow_mut(), line, headers)
    }

    /// The head of a response without its secrets.
    pub(crate) fn response(
        &self,
        (status, reason, version): (StatusCode, Option<&ReasonPhrase>, Version),
        headers: &HeaderMap,
    ) -> HeadText {
        let words = match reason {
            Some(reason) => reason.as_bytes(),
            None => status.canonical_reason().unwrap_or_default().as_bytes(),
        };
        let line = format!("{} {} ", version_name(version), status.as_u16());
        let line = [line.as_bytes(), words].concat();
        finish_head(&mut self.hider.borrow_mut(), line, headers)
    }

    /// A target without its secrets.
    pub(crate) fn target(&self, target: &str) -> Box<str> {
        let mut hider = self.hider.borrow_mut();
        let mut text = Vec::with_capacity(target.len());
        hider.text(target.as_bytes(), &mut text);
        String::from_utf8_lossy(&hider.without_known(text)).into()
    }

    /// A canonical request that the gateway echoes, without its secrets.
    pub(crate) fn canonical(&self, text: &str) -> String {
        self.hider.borrow_mut().canonical(text)
    }

    /// Sets the head of the body that goes to the caller.
    pub(crate) fn answers(&self, headers: &HeaderMap) {
        let decoding = &self.worker.decoding;
        let body = Copied::new(Side::Out, headers, &self.hider.borrow(), decoding);
        self.bodies.borrow_mut()[Side::Out as usize] = body;
    }

    /// Takes the next bytes of a body.
    pub(crate) fn body(&self, side: Side, data: &[u8]) {
        let body = &mut self.bodies.borrow_mut()[side as usize];
        let kept = body.push(&mut self.hider.borrow_mut(), data);
        let now = self.head_read.elapsed();
        if !kept.is_empty() || now - self.noted.get() >= PROGRESS {
            self.report(side, body, kept);
        }
    }

    /// Counts bytes of a body that cannot be read.
    pub(crate) fn bytes(&self, side: Side, count: usize) {
        let body = &mut self.bodies.borrow_mut()[side as usize];
        body.unreported += count as u64;
        body.is_cut |= count > 0;
        if self.head_read.elapsed() - self.noted.get() >= PROGRESS {
            self.report(side, body, Vec::new());
        }
    }

    /// Notes the rest of a body that has ended.
    pub(crate) fn body_ended(&self, side: Side, is_complete: bool) {
        let body = &mut self.bodies.borrow_mut()[side as usize];
        let kept = body.end(&mut self.hider.borrow_mut(), is_complete);
        if !kept.is_empty() || body.unreported > 0 {
            self.report(side, body, kept);
        }
    }

    fn report(&self, side: Side, body: &mut Copied, kept: Vec<u8>) {
        self.noted.set(self.head_read.elapsed());
        self.worker.recorder().recorded(kept.len());
        let part = BodyPart {
            length: std::mem::take(&mut body.unreported),
            kept: kept.into_boxed_slice(),
            is_cut: body.is_cut,
        };
        self.note(Event::Body(side, part));
    }

    /// Notes the end of the request.
    pub(crate) fn ended(&self, ended: RequestEnd) {
        // Nothing is left of a request's body that was read to its end.
        self.body_ended(Side::In, false);
        self.body_ended(Side::Out, ended.end == "whole");
        self.note(Event::Ended(Box::new(ended)));
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capture({:032x})", self.id)
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn request_head(
    hider: &mut Hider,
    (method, uri, version): (&Method, &Uri, Version),
    headers: &HeaderMap,
) -> HeadText {
    let mut line = [method.as_str().as_bytes(), b" "].concat();
    // Over HTTP/2 every target is absolute, and its authority is the host.
    let authority = uri.authority().filter(|_| version == Version::HTTP_2);
    match uri.path_and_query() {
        Some(target) if authority.is_some() => hider.text(target.as_str().as_bytes(), &mut line),
        None => hider.authority(uri.to_string().as_bytes(), &mut line),
        Some(_) => hider.text(uri.to_string().as_bytes(), &mut line),
    }
    line.push(b' ');
    line.extend_from_slice(version_name(version).as_bytes());
    if let Some(authority) = authority.filter(|_| !headers.contains_key(HOST)) {
        line.extend_from_slice(b"\r\nhost: ");
        hider.authority(authority.as_str().as_bytes(), &mut line);
    }
    finish_head(hider, line, headers)
}

fn finish_head(hider: &mut Hider, line: Vec<u8>, headers: &HeaderMap) -> HeadText {
    let mut text = line;
    text.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if text.len() > MAX_HEAD {
            break;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        hider.header(
            name.as_str(),
            value.as_bytes(),
            value.is_sensitive(),
            &mut text,
        );
        text.extend_from_slice(b"\r\n");
    }
    HeadText(hider.without_known(text).into())
}

#[cfg(test)]
mod tests;
