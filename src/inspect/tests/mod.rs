//! What a store makes of notes: tables of requests, and sequences of notes that proptest makes up.

mod bodies;
mod changes;
mod copy;
mod filter;
mod har;
mod signature;
mod times;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::note::*;
use super::store::{Store, StoreLimits};
use super::view;

pub(super) const LIMITS: StoreLimits = StoreLimits {
    requests: 500,
    memory: 32 << 20,
};

/// The cells of a table: a row in each line, with bars between the cells.
pub(super) fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        cells.try_into().expect("each row has N cells")
    })
}

pub(super) fn head(lines: &str) -> HeadText {
    let lines = lines
        .lines()
        .map(|line| format!("{}\r\n", line.trim_start()));
    HeadText(lines.collect::<String>().into_bytes().into())
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn beginning(lines: &str) -> Event {
    Event::Begun(Box::new(Begun {
        time: Timestamp::from_millisecond(1_764_500_000_123).unwrap(),
        caller: Caller {
            listener: "tcp",
            ..Caller::default()
        },
        version: "HTTP/1.1",
        head: head(lines),
    }))
}

pub(super) fn routed(body_hash: &str) -> Event {
    Event::Routed(Box::new(RoutedTo {
        route: "/flowers",
        upstream: "https://gw.example/v1/x".to_owned(),
        body_hash: body_hash.to_owned(),
        ..RoutedTo::default()
    }))
}

pub(super) fn body(side: Side, kept: &[u8]) -> Event {
    let part = BodyPart {
        length: kept.len() as u64,
        kept: kept.into(),
        is_cut: false,
    };
    Event::Body(side, part)
}

pub(super) fn attempt(lines: &str) -> Event {
    Event::Attempt(Box::new(AttemptSent {
        reason: "first",
        auth: "key",
        head: head(lines),
        ..AttemptSent::default()
    }))
}

pub(super) fn response(lines: &str, echo: &str) -> Event {
    Event::Response(Box::new(AttemptResponse {
        status: 401,
        head: head(lines),
        code: "APIG.0301".to_owned(),
        echo: echo.to_owned(),
    }))
}

pub(super) fn relayed(status: u16, lines: &str, code: &str) -> Event {
    Event::Relayed(Box::new(Relayed {
        status,
        head: head(lines),
        code: code.to_owned(),
        ..Relayed::default()
    }))
}

pub(super) fn ended(status: u16, bytes_in: u64, bytes_out: u64) -> Event {
    Event::Ended(Box::new(RequestEnd {
        status,
        outcome: "ok",
        end: "whole",
        bytes_in,
        bytes_out,
        times: Times {
            total: ms(100),
            ..Times::default()
        },
    }))
}

/// A store with one request, of id 1, whose notes come a millisecond apart.
pub(super) fn store_of(events: Vec<Event>) -> Store {
    let mut store = Store::new(LIMITS);
    apply(&mut store, 1, events);
    store
}

pub(super) fn apply(store: &mut Store, id: u128, events: Vec<Event>) {
    for (at, event) in events.into_iter().enumerate() {
        let at = ms(at as u64);
        store.apply(Note { id, at, event });
    }
}

/// The detail of the request that these notes tell of.
pub(super) fn detail_of(events: Vec<Event>) -> Value {
    view::detail(store_of(events).get(1).unwrap())
}
