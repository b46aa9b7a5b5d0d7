//! The feed: what changes in the store, as server-sent events.
//!
//! Each reader asks the store for what has changed since its last frame, at most ten times a second.
//! So nothing is queued for a reader, and one that reads slowly gets fewer and larger frames.
//!
//! # What can go wrong
//!
//! A reader may read nothing at all. The admin listener closes such a connection after ten seconds,
//! and the reader goes on from the last sequence number that it has seen.

use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::Problem;
use super::served::Served;
use super::store::Changes;

/// The media type of a feed.
pub(super) const TYPE: &str = "text/event-stream";

/// How many may read at once.
const MAX_READERS: usize = 4;

/// The shortest time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// How often the state is looked at.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// The longest silence. A comment ends it, so that both sides learn of a connection that is gone.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// How many requests one event has at most.
const MAX_REQUESTS: usize = 256;

/// Frames that are made and not yet written.
const QUEUE: usize = 2;

/// The frames of a feed that ends at once, for HEAD.
pub(super) fn empty() -> mpsc::Receiver<Bytes> {
    mpsc::channel(1).1
}

/// Starts a feed of what changes after a sequence number.
///
/// # Errors
///
/// A [`Problem`] if there are readers enough.
pub(super) fn open(served: &Rc<Served>, after: u64) -> Result<mpsc::Receiver<Bytes>, Problem> {
    const FULL: &str = "the feed has four readers already\nhint: close another page or terminal with the inspector";
    let place = Rc::clone(&served.readers);
    // One is that of `served`.
    if Rc::strong_count(&place) > MAX_READERS + 1 {
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Problem::new(status, "too_many_readers", FULL));
    }
    let (sender, frames) = mpsc::channel(QUEUE);
    let reader = Reader {
        served: Rc::clone(served),
        sender,
        seq: after,
        state: Value::Null,
    };
    spawn_local(async move {
        reader.run().await;
        drop(place);
    });
    Ok(frames)
}

/// One reader of the feed.
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
            let mut frames = self.frames();
            if frames.is_empty() && silent_since.elapsed() >= MAX_SILENCE {
                frames.push(":\n\n".to_owned());
            }
            for frame in frames {
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

    /// What has changed since the last frames.
    fn frames(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        let changes = self.served.store.borrow().changes_since(self.seq);
        let before = std::mem::replace(&mut self.seq, changes.seq);
        add_changes(&mut frames, before, changes);
        let mut state = self.served.state();
        // It is told with every change as it is.
        let seq = state["seq"].take();
        if state != self.state || !frames.is_empty() {
            self.state = state.clone();
            state["seq"] = seq;
            frames.push(event("state", &state));
        }
        frames
    }
}

/// Adds the events of changes. The last one has the new sequence number, and the others that of
/// before: a reader that has seen some of them gets all of them again.
fn add_changes(frames: &mut Vec<String>, before: u64, changes: Changes) {
    if changes.is_reset {
        frames.push(event("cleared", &json!({})));
    }
    for (name, requests) in [
        ("begun", changes.started),
        ("changed", changes.changed),
        ("ended", changes.ended),
    ] {
        for requests in requests.chunks(MAX_REQUESTS) {
            frames.push(event(name, &requests.into()));
        }
    }
    if !changes.evicted.is_empty() {
        frames.push(event("evicted", &changes.evicted.into()));
    }
    let count = frames.len();
    for (number, frame) in frames.iter_mut().enumerate() {
        let is_last = number + 1 == count;
        let id = if is_last { changes.seq } else { before };
        frame.insert_str(0, &format!("id: {id}\n"));
    }
}

fn event(name: &str, data: &Value) -> String {
    let mut event = String::new();
    // JSON has no line feed outside of its strings, and none within them.
    let written = write!(event, "event: {name}\ndata: {data}\n\n");
    written.expect("a string takes all text");
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_breaks_off_between_events_goes_on_from_before_them() {
        let requests = |count: usize| vec![json!({"seq": 1}); count];
        let changes = Changes {
            is_reset: true,
            started: requests(MAX_REQUESTS + 1),
            evicted: vec!["0a".to_owned()],
            seq: 9,
            ..Changes::default()
        };
        let mut frames = Vec::new();
        add_changes(&mut frames, 4, changes);
        let starts = frames
            .iter()
            .map(|frame| frame.split("\ndata").next().unwrap());
        let expected = [
            "4\nevent: cleared",
            "4\nevent: begun",
            "4\nevent: begun",
            "9\nevent: evicted",
        ];
        assert!(
            starts.eq(expected.map(|start| format!("id: {start}"))),
            "{frames:?}"
        );
        assert!(
            frames
                .iter()
                .all(|frame| frame.ends_with("\n\n") && frame.lines().count() == 4)
        );
    }

    #[test]
    fn nothing_new_is_no_frame() {
        let mut frames = Vec::new();
        add_changes(
            &mut frames,
            4,
            Changes {
                seq: 4,
                ..Changes::default()
            },
        );
        assert_eq!(frames, [""; 0]);
    }
}
