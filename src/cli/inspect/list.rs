//! The list of requests, which follows the proxy.
//!
//! It asks what is new, again and again, also for as long as a restart of the proxy may take.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::super::say;
use super::client::{Client, Error, query};
use super::text::{json, row};

const HEADER: &str = "time (UTC)  id       method  status   duration      bytes  path";

/// Requests that a list shows before it follows new ones.
const FIRST_ROWS: usize = 20;

/// The most requests that one response of the API lists.
pub(super) const MAX_ROWS: usize = 10_000;

/// The pause before the proxy is asked again, and how often this is tried if it does not answer, or has
/// not recorded a replayed request yet.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const ATTEMPTS: usize = 50;

/// A list on standard output.
#[derive(Debug)]
pub(super) struct List<'a> {
    client: &'a Client,
    filter: &'a str,
    is_json: bool,
    has_header: bool,
    /// The place in the proxy's sequence of changes up to which all is printed.
    seq: u64,
    /// How many the proxy had not recorded by then.
    dropped: u64,
    /// Ids of the streams that were printed when they opened.
    open: HashSet<String>,
}

impl<'a> List<'a> {
    pub(super) fn new(client: &'a Client, filter: &'a str, is_json: bool) -> Self {
        Self {
            client,
            filter,
            is_json,
            has_header: is_json || !io::stdout().is_terminal(),
            seq: 0,
            dropped: 0,
            open: HashSet::new(),
        }
    }

    /// Prints the requests that are kept, and then those that end. Returns when the proxy cannot be
    /// reached again, with the error of the last attempt.
    pub(super) async fn follow(&mut self) -> Result<(), Error> {
        self.update(FIRST_ROWS).await?;
        if io::stderr().is_terminal() {
            let address = &self.client.address;
            say(format_args!(
                "waiting for requests at {address}; Ctrl-C ends"
            ));
        }
        let mut failures = 0;
        loop {
            sleep(POLL_INTERVAL).await;
            failures = match self.update(MAX_ROWS).await {
                Ok(()) => 0,
                Err(error) if failures == ATTEMPTS || matches!(error, Error::Output(_)) => {
                    return Err(error);
                }
                Err(_) => failures + 1,
            };
            if failures == 1 {
                say("the inspector does not answer; trying again");
            }
        }
    }

    /// Prints the requests that have changed since the last call, the oldest first.
    pub(super) async fn update(&mut self, limit: usize) -> Result<(), Error> {
        let mut answer = self.ask(limit).await?;
        let number = |answer: &Value, name: &str| answer[name].as_u64().unwrap_or_default();
        if number(&answer, "seq") < self.seq {
            // A restarted proxy, whose sequence began again.
            (self.seq, self.dropped) = (0, 0);
            self.open.clear();
            answer = self.ask(limit).await?;
        }
        let tell = |count: u64, what| {
            if count > 0 {
                say(format_args!("{count} more requests {what}"));
            }
        };
        tell(
            number(&answer, "missed"),
            "left before they were listed (`inspect.requests`)",
        );
        self.seq = number(&answer, "seq");
        for summary in answer["requests"].as_array().into_iter().flatten().rev() {
            let id = summary["id"].as_str().unwrap_or_default();
            let is_open_stream = summary["kind"].is_string() && summary["status"].is_u64();
            if summary["state"] == "done" {
                self.open.remove(id);
                self.write(summary)?;
            } else if is_open_stream && self.open.insert(id.to_owned()) {
                self.write(summary)?;
            }
        }
        let dropped = number(&answer, "dropped");
        let more = dropped.saturating_sub(self.dropped);
        tell(
            more,
            "or parts of them were not recorded: they came too fast",
        );
        self.dropped = dropped;
        Ok(())
    }

    pub(super) async fn ask(&self, limit: usize) -> Result<Value, Error> {
        let (filter, seq) = (query(self.filter), self.seq);
        let target = format!("requests?filter={filter}&after={seq}&limit={limit}");
        self.client.get(&target).await
    }

    fn write(&mut self, summary: &Value) -> Result<(), Error> {
        let out = &mut io::stdout();
        if !std::mem::replace(&mut self.has_header, true) {
            writeln!(out, "{HEADER}")?;
        }
        let line = match self.is_json {
            true => json(summary),
            false => row(summary),
        };
        Ok(writeln!(out, "{line}")?)
    }

    /// Prints one request when it has ended, or as it is after a while.
    pub(super) async fn when_done(&mut self, id: &str) -> Result<(), Error> {
        let target = format!("requests?filter={}", query(&format!("id:{id}")));
        let mut summary = Value::Null;
        for _ in 0..ATTEMPTS {
            summary = self.client.get(&target).await?["requests"][0].clone();
            if summary["state"] == "done" {
                break;
            }
            sleep(POLL_INTERVAL).await;
        }
        if summary.is_null() {
            return Err(Error::Failed(format!(
                "the request was sent as {id}, and has not been recorded yet\nhint: see the list, `apig-proxy inspect`"
            )));
        }
        self.write(&summary)
    }
}
