//! The list of requests, which follows the proxy.
//!
//! The feed only tells that something is new; the list then asks for it, so that filters mean the
//! same everywhere. A feed that ends is opened again, for as long as a restart may take.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;

use super::super::say;
use super::client::{ApiError, Client, query};
use super::row::{HEADER, row};
use super::style::{Look, Style, json};
use super::{Error, FIRST_ROWS, MAX_ROWS};

/// The pause before a feed is opened again, and how often this is tried.
const RETRY_DELAY: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 20;

/// The pause before a replayed request is looked at again, and how often this is done.
const REPLAY_PAUSE: Duration = Duration::from_millis(100);
const REPLAY_LOOKS: usize = 100;

/// Requests that are remembered when they have ended: a late note may change one again.
const REMEMBERED: usize = 256;

/// A list on standard output.
#[derive(Debug)]
pub(super) struct List {
    is_json: bool,
    style: Style,
    /// The place in the proxy's sequence of changes up to which all is printed.
    seq: u64,
    /// How much the proxy had not recorded then.
    dropped: u64,
    has_header: bool,
    /// Ids of the streams that were printed when they opened.
    open: HashSet<String>,
    /// Ids of the last requests that were printed when they had ended.
    ended: VecDeque<String>,
}

impl List {
    pub(super) fn new(is_json: bool, style: Style) -> Self {
        Self {
            is_json,
            style,
            seq: 0,
            dropped: 0,
            has_header: is_json || !style.is_terminal,
            open: HashSet::new(),
            ended: VecDeque::new(),
        }
    }

    /// Prints what is kept, and then what ends, until the proxy is gone.
    ///
    /// # Errors
    ///
    /// The error of the API after the last attempt to reach it again.
    pub(super) async fn follow(&mut self, client: &Client, filter: &str) -> Result<(), Error> {
        self.update(client, filter, FIRST_ROWS).await?;
        let mut failures = 0;
        loop {
            let ended = self.read_feed(client, filter, &mut failures).await;
            match ended {
                // Nothing of this gets better by waiting.
                Err(error @ (Error::Output(_) | Error::Api(ApiError::Refused { .. }))) => {
                    return Err(error);
                }
                Err(error) if failures == ATTEMPTS => return Err(error),
                _ if failures == 0 => say("the connection to the proxy has ended; trying again"),
                _ => {}
            }
            failures += 1;
            sleep(RETRY_DELAY).await;
        }
    }

    /// Reads the feed to its end, and prints what has ended whenever it tells of something.
    async fn read_feed(
        &mut self,
        client: &Client,
        filter: &str,
        failures: &mut usize,
    ) -> Result<(), Error> {
        let target = format!("feed?after={}", self.seq);
        let mut feed = client.open("GET", &target, "").await?.into_body();
        // Of what came between two feeds, or from a proxy that was started anew.
        self.update(client, filter, MAX_ROWS).await?;
        *failures = 0;
        let mut events = Events::default();
        while let Some(frame) = client.within_limit(feed.frame()).await? {
            let frame = frame.map_err(|_| client.broken_off())?;
            if frame
                .data_ref()
                .is_some_and(|bytes| events.tell_of_requests(bytes))
            {
                self.update(client, filter, MAX_ROWS).await?;
            }
        }
        Ok(())
    }

    /// Prints the requests that have changed since the last call, the oldest first.
    pub(super) async fn update(
        &mut self,
        client: &Client,
        filter: &str,
        limit: usize,
    ) -> Result<(), Error> {
        let mut answer = self.ask(client, filter, limit).await?;
        let seq = answer["seq"].as_u64().unwrap_or_default();
        if seq < self.seq {
            // Another process, whose sequence began anew.
            (self.seq, self.dropped) = (0, 0);
            self.open.clear();
            answer = self.ask(client, filter, limit).await?;
        }
        self.seq = answer["seq"].as_u64().unwrap_or_default();
        let requests = answer["requests"].as_array();
        for summary in requests.into_iter().flatten().rev() {
            self.print(summary)?;
        }
        let dropped = answer["dropped"].as_u64().unwrap_or_default();
        let more = dropped.saturating_sub(self.dropped);
        if more > 0 {
            say(&format!(
                "{more} more requests or parts of them were not recorded: they came too fast"
            ));
        }
        self.dropped = dropped;
        Ok(io::stdout().flush()?)
    }

    async fn ask(&self, client: &Client, filter: &str, limit: usize) -> Result<Value, ApiError> {
        let (filter, seq) = (query(filter), self.seq);
        let target = format!("requests?filter={filter}&after={seq}&limit={limit}");
        client.get(&target).await
    }

    /// Prints a request that has ended, or a stream when it opens.
    fn print(&mut self, summary: &Value) -> Result<(), Error> {
        let id = summary["id"].as_str().unwrap_or_default();
        let is_open_stream = summary["kind"].is_string() && summary["status"].is_u64();
        let is_new = if summary["state"] == "done" {
            self.open.remove(id);
            self.ended.truncate(REMEMBERED - 1);
            let is_new = !self.ended.iter().any(|ended| ended == id);
            self.ended.push_front(id.to_owned());
            is_new
        } else {
            is_open_stream && self.open.insert(id.to_owned())
        };
        if is_new { self.write(summary) } else { Ok(()) }
    }

    fn write(&mut self, summary: &Value) -> Result<(), Error> {
        let out = &mut io::stdout();
        if !std::mem::replace(&mut self.has_header, true) {
            writeln!(out, "{}", self.style.paint(Look::Dim, HEADER))?;
        }
        let line = if self.is_json {
            json(summary)
        } else {
            row(summary, self.style)
        };
        Ok(writeln!(out, "{line}")?)
    }

    /// Prints one request when it has ended, or as it is after a while.
    pub(super) async fn when_done(&mut self, client: &Client, id: &str) -> Result<(), Error> {
        let target = format!("requests?filter={}", query(&format!("id:{id}")));
        let mut summary = None;
        for _ in 0..REPLAY_LOOKS {
            let mut answer = client.get(&target).await?;
            let first = answer["requests"].get_mut(0).map(Value::take);
            summary = first.or(summary);
            if summary
                .as_ref()
                .is_some_and(|summary| summary["state"] == "done")
            {
                break;
            }
            sleep(REPLAY_PAUSE).await;
        }
        match summary {
            Some(summary) => self.write(&summary),
            None => Err(Error::Request(format!(
                "the request was sent as {id}, and has not been recorded yet\nhint: see the list, `apig-proxy inspect`"
            ))),
        }
    }
}

/// Reads a stream of events as far as their names: which request they tell of is asked for.
#[derive(Debug, Default)]
struct Events {
    /// The beginning of the line.
    line: Vec<u8>,
}

impl Events {
    /// Takes the next bytes; true if an event in them tells of requests.
    fn tell_of_requests(&mut self, bytes: &[u8]) -> bool {
        const EVENT: &[u8] = b"event:";
        let mut tell = false;
        for byte in bytes {
            if *byte == b'\n' {
                let name = self.line.strip_prefix(EVENT).map(<[u8]>::trim_ascii);
                tell |=
                    name.is_some_and(|name| [&b"begun"[..], b"changed", b"ended"].contains(&name));
                self.line.clear();
            } else if self.line.len() < 32 {
                self.line.push(*byte);
            }
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart_in_any_pieces() {
        let stream = b": x\n\nid: 1\nevent: state\ndata: {\"event: ended\":1}\n\nid: 2\nevent: ended\ndata: []\n\n";
        for piece in 1..stream.len() {
            let mut events = Events::default();
            let told = stream
                .chunks(piece)
                .filter(|bytes| events.tell_of_requests(bytes));
            assert_eq!(told.count(), 1, "{piece}");
        }
    }
}
