//! The feed: what changes in the store, as server-sent events.
//!
//! Each reader asks the store for what has changed since its last frame, at most ten times a second.
//! So nothing is queued for a reader, and one that reads slowly gets fewer and larger frames.
//!
//! # What can go wrong
//!
//! A reader may read nothing at all. The admin listener closes such a connection after ten seconds,
//! and the reader goes on from the last sequence number that it has seen.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::problem::{self, Problem};
use super::served::Served;
use super::store::Changes;

pub(super) const TYPE: &str = "text/event-stream";

/// The shortest time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// How often the state is checked for changes.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// The longest silence. A comment ends it, so that both sides learn of a connection that is gone.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// How many frames may wait to be written.
const QUEUE: usize = 2;

/// Starts a feed of what changes after a sequence number.
pub(super) fn open(served: &Rc<Served>, after: u64) -> Result<mpsc::Receiver<Bytes>, Problem> {
    let permit = Arc::clone(&served.readers).try_acquire_owned();
    let permit = permit.map_err(|_| problem::TOO_MANY_READERS)?;
    let (sender, frames) = mpsc::channel(QUEUE);
    let reader = Reader {
        served: Rc::clone(served),
        sender,
        seq: after,
        state: Value::Null,
    };
    spawn_local(async move {
        reader.run().await;
        drop(permit);
    });
    Ok(frames)
}

struct Reader {
    served: Rc<Served>,
    sender: mpsc::Sender<Bytes>,
    /// The last sequence number that the reader knows.
    seq: u64,
    /// The last state that the reader knows.
    state: Value,
}

impl Reader {
    /// Sends frames until the reader is gone or the inspector is turned off.
    async fn run(mut self) {
        let mut changes = self.served.changes.subscribe();
        let mut silent_since = Instant::now();
        while self.served.is_on() {
            changes.mark_unchanged();
            let mut frame = self.frame();
            if frame.is_empty() && silent_since.elapsed() >= MAX_SILENCE {
                frame = ":\n\n".to_owned();
            }
            if !frame.is_empty() {
                if self.sender.send(frame.into()).await.is_err() {
                    return;
                }
                silent_since = Instant::now();
            }
            let next = Instant::now() + STATE_INTERVAL;
            sleep(FRAME_INTERVAL).await;
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(next) => {}
                () = self.sender.closed() => return,
            }
        }
    }

    /// The events of what has changed since the last frame.
    fn frame(&mut self) -> String {
        let changes = self.served.store.borrow().changes_since(self.seq);
        self.seq = changes.seq;
        let mut frame = events(changes);
        let mut state = self.served.state();
        // It changes with every event, which has it as its id.
        let seq = state["seq"].take();
        if state != self.state || !frame.is_empty() {
            self.state = state.clone();
            state["seq"] = seq;
            frame.push_str(&event("state", &state));
        }
        frame
    }
}

/// The events of changes. Only the last one has the new sequence number: a reader that has seen some
/// of them gets all of them again.
fn events(changes: Changes) -> String {
    let mut events: Vec<String> = Vec::new();
    if changes.is_reset {
        events.push(event("cleared", &json!({})));
    }
    for (name, requests) in [
        ("begun", changes.started),
        ("changed", changes.changed),
        ("ended", changes.ended),
        ("evicted", changes.evicted),
    ] {
        if !requests.is_empty() {
            events.push(event(name, &requests.into()));
        }
    }
    if let Some(last) = events.last_mut() {
        last.insert_str(0, &format!("id: {}\n", changes.seq));
    }
    events.concat()
}

/// An event. JSON has no line feed outside of its strings, and none within them.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_breaks_off_between_events_goes_on_from_before_them() {
        let changes = Changes {
            is_reset: true,
            started: vec![json!({"seq": 1})],
            evicted: vec!["0a".into()],
            seq: 9,
            ..Changes::default()
        };
        let expected = "event: cleared\ndata: {}\n\nevent: begun\ndata: [{\"seq\":1}]\n\n\
                        id: 9\nevent: evicted\ndata: [\"0a\"]\n\n";
        assert_eq!(events(changes), expected);
        assert_eq!(events(Changes::default()), "");
    }
}
