//! One request, as far as its notes have arrived.
//!
//! Notes may be lost, and an entry may have to drop parts to make room. Both leave a gap that is
//! named, and the other parts stay as they are.

use std::time::Duration;

pub(super) use super::body::Body;
use super::head::{Head, path_and_query, request_line};
use super::note::{
    AttemptResponse, AttemptSent, Begun, Event, Relayed, RequestEnd, RoutedTo, Side,
};

/// The most bytes of a line, and of a word, of a request that has dropped its heads.
const MIN_LINE: usize = 512;
const MIN_WORD: usize = 64;

/// One request.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) id: u128,
    /// The count of requests when it began, from 1.
    pub(super) number: u64,
    /// The sequence numbers of its first change, of its last one, and of its end.
    pub(super) begun_seq: u64,
    pub(super) seq: u64,
    pub(super) ended_seq: Option<u64>,
    pub(super) start: Box<Begun>,
    pub(super) routed: Option<Box<RoutedTo>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) relayed: Option<Box<Relayed>>,
    pub(super) ended: Option<Box<RequestEnd>>,
    /// Indexed by [`Side`].
    pub(super) bodies: [Body; 2],
    /// When the last note was made, since the head was read.
    pub(super) last: Duration,
    has_lost_attempt: bool,
    /// How often it has dropped a part.
    pub(super) sheds: usize,
}

/// One attempt to send a request.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) at: Duration,
    /// `None` if its note was lost.
    pub(super) sent: Option<Box<AttemptSent>>,
    pub(super) response: Option<(Duration, Box<AttemptResponse>)>,
}

impl Entry {
    /// The entry of a request that begins, with its count.
    pub(super) fn new(id: u128, begun: Box<Begun>, number: u64, seq: u64) -> Self {
        Self {
            id,
            number,
            begun_seq: seq,
            seq,
            start: begun,
            ..Self::default()
        }
    }

    /// Adds a note.
    pub(super) fn apply(&mut self, at: Duration, event: Event, seq: u64) {
        self.seq = seq;
        self.last = self.last.max(at);
        match event {
            Event::Begun(begun) => self.start = begun,
            Event::Routed(routed) => self.routed = Some(routed),
            Event::Body(side, part) => self.bodies[side as usize].add(at, &part),
            Event::Attempt(sent) => self.attempts.push(Attempt {
                at,
                sent: Some(sent),
                response: None,
            }),
            Event::Response(response) => {
                let response = Some((at, response));
                match self.attempts.last_mut() {
                    Some(last) if last.response.is_none() => last.response = response,
                    _ => {
                        let sent = None;
                        self.attempts.push(Attempt { at, sent, response });
                        self.has_lost_attempt = true;
                    }
                }
            }
            Event::Relayed(relayed) => self.relayed = Some(relayed),
            Event::Ended(ended) => self.end(ended, seq),
        }
        // A part that was dropped once stays dropped.
        self.drop_parts();
    }

    fn end(&mut self, ended: Box<RequestEnd>, seq: u64) {
        self.has_lost_attempt |=
            self.attempts.len() < ended.times.attempts.len() && self.has_heads();
        self.bodies[Side::In as usize].end(ended.bytes_in);
        self.bodies[Side::Out as usize].end(ended.bytes_out);
        self.ended = Some(ended);
        self.ended_seq = Some(seq);
    }

    pub(super) fn body(&self, side: Side) -> &Body {
        &self.bodies[side as usize]
    }

    /// True if the whole body of a side is kept.
    pub(super) fn is_complete(&self, side: Side) -> bool {
        let is_over = match side {
            Side::In => self.relayed.is_some() || self.is_done(),
            Side::Out => self.is_done(),
        };
        is_over && self.body(side).is_whole() && (side == Side::Out || self.is_read())
    }

    /// True if the body of the request has the length of its head. The body of a refused request may
    /// not be read.
    fn is_read(&self) -> bool {
        let Some(head) = self.received() else {
            return false;
        };
        let passed = self.body(Side::In).total;
        let is_read = |ended: &RequestEnd| ended.times.body_read.is_some();
        match head.get("content-length") {
            Some(length) => length.parse() == Ok(passed),
            None => {
                passed > 0
                    || head.get("transfer-encoding").is_none()
                    || self.ended.as_deref().is_some_and(is_read)
            }
        }
    }

    /// True once the request has ended.
    pub(super) fn is_done(&self) -> bool {
        self.ended.is_some()
    }

    /// True if it has not dropped its heads.
    pub(super) fn has_heads(&self) -> bool {
        self.sheds < 2
    }

    /// The head as the caller sent it.
    pub(super) fn received(&self) -> Option<Head<'_>> {
        Head::parse(&self.start.head)
    }

    /// The head of the response that the caller gets.
    pub(super) fn answer(&self) -> Option<Head<'_>> {
        Head::parse(&self.relayed.as_ref()?.head)
    }

    /// Method, path and query of the request; empty if they are not known.
    pub(super) fn request_line(&self) -> (String, String, Option<String>) {
        let (method, target) = request_line(&self.start.head.0);
        let (path, query) = path_and_query(&target);
        let [method, path] = [&*method, path].map(str::to_owned);
        (method, path, query.map(str::to_owned))
    }

    pub(super) fn route(&self) -> &str {
        self.routed.as_ref().map_or("", |routed| routed.route)
    }

    /// The name of the caller, or the listener if it has none.
    pub(super) fn caller(&self) -> &str {
        let name = self.routed.as_ref().map_or("", |routed| &routed.caller);
        if name.is_empty() {
            return self.start.caller.listener;
        }
        name
    }

    /// The status that the caller gets.
    pub(super) fn status(&self) -> Option<u16> {
        let relayed = self.relayed.as_ref().map(|relayed| relayed.status);
        relayed.or_else(|| self.ended.as_ref().map(|ended| ended.status))
    }

    pub(super) fn code(&self) -> Option<&str> {
        let relayed = self.relayed.iter().map(|relayed| relayed.code.as_str());
        let responses = self.attempts.iter().rev().take(1);
        let responses = responses.filter_map(|attempt| attempt.response.as_ref());
        let mut codes = relayed.chain(responses.map(|(_, response)| response.code.as_str()));
        codes.find(|code| !code.is_empty())
    }

    /// The advice of the response; empty if there is none.
    pub(super) fn hint(&self) -> &str {
        self.relayed.as_ref().map_or("", |relayed| &relayed.hint)
    }

    /// What is missing, a sentence for each.
    pub(super) fn gaps(&self) -> Vec<&'static str> {
        let is_early = |ended: &RequestEnd| ["caller_gone", "cut_off"].contains(&ended.outcome);
        let is_answered = self.ended.as_ref().is_some_and(|ended| !is_early(ended));
        let mut bodies = self.bodies.iter();
        let is_broken = bodies.any(|body| body.is_broken && body.total > 0);
        let of_body = match self.sheds {
            0 => "a part of a body was not recorded",
            _ => "the bodies were dropped to make room (`inspect.memory`)",
        };
        let of_heads = "the heads were dropped to make room (`inspect.memory`)";
        let has_lost_route = self.routed.is_none() && !self.attempts.is_empty();
        let has_lost_answer = self.relayed.is_none() && is_answered;
        let gaps = [
            (self.has_lost_attempt, "an attempt was not recorded"),
            (is_broken, of_body),
            (!self.has_heads(), of_heads),
            (has_lost_route, "the route was not recorded"),
            (has_lost_answer, "the head of the response was not recorded"),
        ];
        let missing = gaps.into_iter().filter(|(is_missing, _)| *is_missing);
        missing.map(|(_, text)| text).collect()
    }

    /// Drops a part, bodies before heads, and also what arrives later of it. `false` if nothing is
    /// left to drop.
    pub(super) fn shed(&mut self) -> bool {
        let has_more = self.has_heads();
        if has_more {
            self.sheds += 1;
            self.drop_parts();
        }
        has_more
    }

    /// Drops what has arrived of the parts that are dropped.
    fn drop_parts(&mut self) {
        if self.sheds > 0 {
            self.bodies.iter_mut().for_each(Body::give_up);
        }
        if self.has_heads() {
            return;
        }
        let cut = |text: &mut String, length| {
            text.truncate(text.floor_char_boundary(length));
            text.shrink_to_fit();
        };
        self.attempts = Vec::new();
        if let Some(routed) = &mut self.routed {
            cut(&mut routed.upstream, MIN_LINE);
            cut(&mut routed.stage, MIN_WORD);
            cut(&mut routed.body_hash, MIN_WORD);
        }
        if let Some(relayed) = &mut self.relayed {
            relayed.head.0 = Box::default();
            cut(&mut relayed.message, MIN_LINE);
            cut(&mut relayed.hint, MIN_LINE);
            cut(&mut relayed.code, MIN_WORD);
            cut(&mut relayed.gateway_request_id, MIN_WORD);
        }
        let line = self.start.head.0.split(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        self.start.head.0 = line[..line.len().min(MIN_LINE)].into();
    }
}
