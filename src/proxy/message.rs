//! What the pipeline takes from the listener, and what it gives back.

use std::rc::Rc;

use super::body::ResponseBody;
use crate::guard::ListenerKind;
use crate::http1::{Incoming, RequestHead};
use crate::telemetry::metrics::Flight;

/// A caller's request: its head, and its body on the way in.
#[derive(Debug)]
pub struct Request {
    /// The head, as it came.
    pub head: RequestHead,
    /// The body; nothing of it has been read.
    pub body: Incoming,
    /// The listener that it reached.
    pub listener: ListenerKind,
}

/// A request with what it is counted by.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) request: Request,
    pub(super) flight: Rc<Flight>,
}

/// An answer for a caller.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The status line and the fields, each with its line end. How the body is framed, and whether the
    /// connection is kept, is left to the listener, who knows what the caller speaks.
    pub head: Vec<u8>,
    /// The length that the head tells.
    pub length: Announced,
    /// The body; the listener leaves it out in answer to HEAD.
    pub body: ResponseBody,
    /// Whether the caller's connection ends with this answer.
    pub closes: bool,
    /// What it is counted by; it lands when the answer is dropped.
    pub flight: Option<Rc<Flight>>,
}

/// What the head of an answer says of the length of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Nothing: there is no body, and it would not have one.
    Nothing,
    /// So many bytes, although HEAD and 304 leave them out.
    Length(u64),
    /// That it is not known before the end.
    Unknown,
}
