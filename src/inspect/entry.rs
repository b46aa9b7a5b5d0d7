//! One request as far as notes have told of it, and how much memory that takes.
//!
//! Notes may be lost, and an entry may have to give up what it holds to make room. Both leave a gap
//! with a name, and what was there before stays as it was.

use std::time::{Duration, UNIX_EPOCH};

pub(super) use super::body::Body;
use super::head::{Head, path_and_query, request_line};
use super::note::{
    AttemptResponse, AttemptSent, Begun, Event, Note, Relayed, RequestEnd, RoutedTo, Side,
};
use crate::clock;

/// The most bytes of a line, and of a word, of a request that has given up its heads.
const MIN_LINE: usize = 512;
const MIN_WORD: usize = 64;

/// One request.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: u128,
    /// The count of requests when it began, from 1.
    pub(super) number: u64,
    /// When it began, in milliseconds since 1970.
    pub(super) time: u64,
    /// The sequence numbers of its first change, of its last one, and of its end.
    pub(super) begun_seq: u64,
    pub(super) seq: u64,
    pub(super) ended_seq: Option<u64>,
    pub(super) start: Option<Box<Begun>>,
    pub(super) routed: Option<Box<RoutedTo>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) relayed: Option<Box<Relayed>>,
    pub(super) ended: Option<Box<RequestEnd>>,
    /// Indexed by [`Side`].
    pub(super) bodies: [Body; 2],
    /// When the last note was made, since the head was read.
    pub(super) last: Duration,
    has_lost_attempt: bool,
    /// The number of [`Entry::shed`] steps that were done.
    pub(super) sheds: usize,
}

/// When the request of a note began, in milliseconds since 1970; about, if the note is not its first.
pub(super) fn begun_at(note: &Note) -> u64 {
    let time = match &note.event {
        Event::Begun(begun) => begun.time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        _ => {
            let now = u64::try_from(clock::timestamp().as_millisecond()).unwrap_or_default();
            Duration::from_millis(now).saturating_sub(note.at)
        }
    };
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One attempt to send a request.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) at: Duration,
    /// `None` if its note was lost.
    pub(super) sent: Option<Box<AttemptSent>>,
    pub(super) response: Option<(Duration, Box<AttemptResponse>)>,
}

impl Entry {
    /// The entry of a request that began at this time, in milliseconds since 1970.
    pub(super) fn new(id: u128, (time, number): (u64, u64), seq: u64) -> Self {
        Self {
            id,
            number,
            time,
            begun_seq: seq,
            seq,
            ended_seq: None,
            start: None,
            routed: None,
            attempts: Vec::new(),
            relayed: None,
            ended: None,
            bodies: Default::default(),
            last: Duration::ZERO,
            has_lost_attempt: false,
            sheds: 0,
        }
    }

    /// Adds what a note tells; of each body, at most so many bytes.
    pub(super) fn apply(&mut self, note: Note, seq: u64, bodies: usize) {
        self.seq = seq;
        self.last = self.last.max(note.at);
        match note.event {
            Event::Begun(begun) => self.start = Some(begun),
            Event::Routed(routed) => self.routed = Some(routed),
            Event::Body { side, passed, kept } => {
                self.bodies[side as usize].add(note.at, passed, &kept, bodies);
            }
            Event::Attempt(sent) => self.attempts.push(Attempt {
                at: note.at,
                sent: Some(sent),
                response: None,
            }),
            Event::Response(response) => {
                let last = self.attempts.last();
                if last.is_none_or(|last| last.response.is_some()) {
                    self.attempts.push(Attempt {
                        at: note.at,
                        ..Attempt::default()
                    });
                    self.has_lost_attempt = true;
                }
                let attempt = self.attempts.last_mut().expect("there is one now");
                attempt.response = Some((note.at, response));
            }
            Event::Relayed(relayed) => self.relayed = Some(relayed),
            Event::Ended(ended) => self.end(ended, seq),
        }
        // What was given up once is given up again.
        (0..self.sheds).for_each(|step| self.drop_part(step));
    }

    fn end(&mut self, ended: Box<RequestEnd>, seq: u64) {
        self.has_lost_attempt |=
            self.attempts.len() < ended.times.attempts.len() && self.has_heads();
        self.bodies[Side::In as usize].end(ended.bytes_in);
        self.bodies[Side::Out as usize].end(ended.bytes_out);
        self.ended = Some(ended);
        self.ended_seq = Some(seq);
    }

    /// The body of one side.
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

    /// True if the body of the request is what its head says: one that is refused may not be read.
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

    /// True if no head had to make room.
    pub(super) fn has_heads(&self) -> bool {
        self.sheds < 3
    }

    /// The head as the caller sent it.
    pub(super) fn received(&self) -> Option<Head<'_>> {
        Head::parse(&self.start.as_ref()?.head)
    }

    /// The head of the response that the caller gets.
    pub(super) fn answer(&self) -> Option<Head<'_>> {
        Head::parse(&self.relayed.as_ref()?.head)
    }

    /// Method, path and query of the request; empty if they are not known.
    pub(super) fn request_line(&self) -> (String, String, Option<String>) {
        let head = self.start.as_ref().map_or(&b""[..], |begun| &begun.head.0);
        let (method, target) = request_line(head);
        let (path, query) = path_and_query(&target);
        (
            method.into_owned(),
            path.to_owned(),
            query.map(str::to_owned),
        )
    }

    /// The route by its label.
    pub(super) fn route(&self) -> &str {
        self.routed.as_ref().map_or("", |routed| routed.route)
    }

    /// The status that the caller gets.
    pub(super) fn status(&self) -> Option<u16> {
        let relayed = self.relayed.as_ref().map(|relayed| relayed.status);
        relayed.or_else(|| self.ended.as_ref().map(|ended| ended.status))
    }

    /// The error code of the response.
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
        let outcome = self.ended.as_ref().map(|ended| ended.outcome);
        let is_answered =
            outcome.is_some_and(|outcome| !["caller_gone", "cut_off"].contains(&outcome));
        let is_broken = |body: &Body| body.is_broken && body.total > 0;
        let has_bodies = self.sheds == 0;
        let gaps = [
            (
                self.start.is_none(),
                "the head of the request was not recorded",
            ),
            (self.has_lost_attempt, "an attempt was not recorded"),
            (
                has_bodies && is_broken(self.body(Side::In)),
                "a part of the request's body was not recorded",
            ),
            (
                has_bodies && is_broken(self.body(Side::Out)),
                "a part of the response's body was not recorded",
            ),
            (
                !has_bodies && self.bodies.iter().any(is_broken),
                "the bodies were dropped to make room (`inspect.memory`)",
            ),
            (
                !self.has_heads(),
                "the heads were dropped to make room (`inspect.memory`)",
            ),
            (
                self.routed.is_none() && !self.attempts.is_empty(),
                "the route was not recorded",
            ),
            (
                self.relayed.is_none() && is_answered,
                "the head of the response was not recorded",
            ),
        ];
        let missing = gaps.into_iter().filter(|(is_missing, _)| *is_missing);
        missing.map(|(_, text)| text).collect()
    }

    /// Gives up a part, the least useful first, and also what comes later of it. `false` if nothing
    /// is left to give up.
    pub(super) fn shed(&mut self) -> bool {
        const STEPS: usize = 4;
        if self.sheds == STEPS {
            return false;
        }
        self.drop_part(self.sheds);
        self.sheds += 1;
        true
    }

    fn drop_part(&mut self, step: usize) {
        match step {
            0 | 1 => self.bodies[1 - step].give_up(),
            2 => {
                self.attempts = Vec::new();
                self.routed = self.routed.take().filter(|routed| {
                    let texts = [&routed.upstream, &routed.stage, &routed.body_hash];
                    texts.iter().map(|text| text.capacity()).sum::<usize>() <= MIN_LINE
                });
            }
            _ => {
                let cut = |text: &mut String, length| {
                    text.truncate(text.floor_char_boundary(length));
                    text.shrink_to_fit();
                };
                if let Some(relayed) = &mut self.relayed {
                    relayed.head.0 = Box::default();
                    cut(&mut relayed.message, MIN_LINE);
                    cut(&mut relayed.hint, MIN_LINE);
                    cut(&mut relayed.code, MIN_WORD);
                    cut(&mut relayed.gateway_request_id, MIN_WORD);
                }
                if let Some(begun) = &mut self.start {
                    let line = begun.head.0.split(|byte| *byte == b'\n').next();
                    let line = line.unwrap_or_default();
                    begun.head.0 = line[..line.len().min(MIN_LINE)].into();
                }
            }
        }
    }
}
