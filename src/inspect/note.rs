//! What a worker reports to the inspector: small notes, each complete in itself, so that a lost one
//! leaves a gap that is shown, and never wrong data.
//!
//! A note contains no secret: the worker hides values before it makes one. It does not refer to a
//! buffer of a connection either; a clone of `Bytes` would keep the whole buffer.

use std::time::Duration;

use jiff::Timestamp;

use crate::upstream::ConnectTimes;

/// One thing that happened to a request.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) id: u128,
    /// Time since the request's head was read.
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

impl Note {
    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let content = match &self.event {
            Event::Begun(begun) => begun.head.0.len(),
            Event::Body(_, part) => part.kept.len(),
            // The target that was signed is a part of the head, if it is there.
            Event::Attempt(sent) => sent.head.0.len() * 2,
            Event::Response(response) => response.head.0.len() + response.echo.len(),
            Event::Relayed(relayed) => relayed.head.0.len() + relayed.message.len(),
            Event::Routed(_) | Event::Ended(_) => 0,
        };
        size_of::<Self>() + OF_EVENT + content
    }
}

/// What the boxed part of an event takes with its short texts, in bytes.
const OF_EVENT: usize = 256;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The head of a request was read.
    Begun(Box<Begun>),
    Routed(Box<RoutedTo>),
    /// Bytes of a body passed.
    Body(Side, BodyPart),
    /// An attempt is about to be sent.
    Attempt(Box<AttemptSent>),
    /// The head of a response to the last attempt was read.
    Response(Box<AttemptResponse>),
    /// The head of the response that the caller gets.
    Relayed(Box<Relayed>),
    /// The request has ended. It is the last note of a request.
    Ended(Box<RequestEnd>),
}

#[derive(Debug)]
pub(crate) struct BodyPart {
    /// How many bytes passed since the last note of it.
    pub(crate) length: u64,
    /// What is kept of them, decoded and with hidden values replaced.
    pub(crate) kept: Box<[u8]>,
    /// True if a part of the body is not kept, or could not be decoded.
    pub(crate) is_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// From the caller.
    In,
    /// To the caller.
    Out,
}

/// A head as HTTP/1.1 text: the request or status line and the fields, each ended by CRLF, without
/// the empty line. Values that look like secrets are hidden.
#[derive(Debug, Default)]
pub(crate) struct HeadText(pub(crate) Box<[u8]>);

#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) time: Timestamp,
    pub(crate) caller: Caller,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub(crate) version: &'static str,
    pub(crate) head: HeadText,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// `tcp`, `tls`, `unix` or `replay`.
    pub(crate) listener: &'static str,
    /// The request that this one repeats.
    pub(crate) replay_of: Option<u128>,
    /// Index of the route that takes all requests of the listener, if it has one.
    pub(crate) listener_route: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct RoutedTo {
    /// The label of the route in the metrics.
    pub(crate) route: &'static str,
    /// The name of the caller; empty if it is not known.
    pub(crate) caller: String,
    /// `scheme://host[:port]` of the gateway, and the path that replaces the prefix.
    pub(crate) upstream: String,
    pub(crate) stage: String,
    /// The hash of the body in hexadecimal digits; empty if it is not signed.
    pub(crate) body_hash: String,
}

#[derive(Debug, Default)]
pub(crate) struct AttemptSent {
    /// `first`, `connection`, `date`, `path` or `credential`: why it was made.
    pub(crate) reason: &'static str,
    /// `key`, `token`, `app-code` or `api-key`.
    pub(crate) auth: &'static str,
    /// Seconds until the credential expires, if it does.
    pub(crate) credential_left: Option<u64>,
    pub(crate) is_http2: bool,
    /// The steps of the connection; none if it was opened before.
    pub(crate) connect: ConnectTimes,
    /// The head as it goes out.
    pub(crate) head: HeadText,
    /// The target that was signed, if the gateway's reading of it is another than what is sent.
    /// The canonical request is made of the head, this and the hash of the body when it is asked for.
    pub(crate) signed_target: Option<Box<str>>,
    /// Seconds by which the signing date differs from this machine's clock.
    pub(crate) clock_offset: i64,
}

#[derive(Debug, Default)]
pub(crate) struct AttemptResponse {
    pub(crate) status: u16,
    pub(crate) head: HeadText,
    /// The gateway's error code, like `APIG.0301`.
    pub(crate) code: String,
    /// The canonical request that the gateway echoes, without secrets.
    pub(crate) echo: String,
}

#[derive(Debug, Default)]
pub(crate) struct Relayed {
    pub(crate) status: u16,
    pub(crate) head: HeadText,
    /// `APIG.…` or `PROXY.…`.
    pub(crate) code: String,
    /// The error message of a response of the proxy itself, without its hint.
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) gateway_request_id: String,
}

#[derive(Debug, Default)]
pub(crate) struct RequestEnd {
    pub(crate) status: u16,
    /// The label of the metrics.
    pub(crate) outcome: &'static str,
    /// `whole`, `caller_gone`, `broken_off` or `cut_off`.
    pub(crate) end: &'static str,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) times: Times,
}

/// The marks of a request, since its head was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) body_read: Option<Duration>,
    pub(crate) attempts: Vec<AttemptTimes>,
    pub(crate) last_byte: Option<Duration>,
    pub(crate) total: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptTimes {
    pub(crate) signing: Duration,
    pub(crate) signed: Duration,
    pub(crate) sent: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
}
