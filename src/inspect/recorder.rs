//! Whether requests are recorded, and the path of their notes: a batch in each worker, then one
//! bounded queue to the inspector's thread.
//!
//! # What can go wrong
//!
//! A full queue, in number or in bytes, loses a whole batch; [`Recorder::dropped`] counts its notes.
//! No request ever waits for the queue. More requests than [`RateLimit`] allows are counted there too, and
//! leave no note.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderName;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep};

use super::note::Note;
use super::rate_limit::RateLimit;
use super::rules::Rules;

/// A batch is sent when it has this many notes or bytes, or when its first note has this age.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
pub(super) const BATCH_AGE: Duration = Duration::from_millis(50);

/// The limits of the queue, in batches and in bytes.
const QUEUED: usize = 256;
const QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// Decides what is recorded, and takes the notes of all workers. It lives as long as the process; a
/// reload changes what it records.
#[derive(Debug)]
pub(crate) struct Recorder {
    is_recording: AtomicBool,
    rules: RwLock<Arc<Rules>>,
    sender: mpsc::Sender<Batch>,
    queued_bytes: Arc<AtomicUsize>,
    rate_limit: RateLimit,
    dropped: AtomicU64,
}

/// Notes of one worker, and their size in bytes.
type Batch = (Vec<Note>, usize);

/// The receiving end of the queue.
#[derive(Debug)]
pub(crate) struct Notes {
    receiver: mpsc::Receiver<Batch>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Recorder {
    /// A recorder that records nothing until [`Recorder::set_recording`], and where its notes come
    /// out. `bodies` is how much of each body is kept, in bytes; `reveal` names headers whose values
    /// are shown although they look like secrets.
    pub(crate) fn new(bodies: usize, reveal: &[HeaderName]) -> (Arc<Self>, Notes) {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let queued_bytes = Arc::<AtomicUsize>::default();
        let recorder = Self {
            is_recording: AtomicBool::new(false),
            rules: RwLock::new(Arc::new(Rules::new(bodies, reveal))),
            sender,
            queued_bytes: Arc::clone(&queued_bytes),
            rate_limit: RateLimit::new(Instant::now()),
            dropped: AtomicU64::new(0),
        };
        let notes = Notes {
            receiver,
            queued_bytes,
        };
        (Arc::new(recorder), notes)
    }

    /// Starts or stops to record requests that begin from now on.
    pub(crate) fn set_recording(&self, is_recording: bool) {
        self.is_recording.store(is_recording, Ordering::Relaxed);
    }

    /// Returns `true` if requests that begin now are recorded.
    pub(crate) fn is_recording(&self) -> bool {
        self.is_recording.load(Ordering::Relaxed)
    }

    /// Counts bytes of bodies that were recorded.
    pub(super) fn recorded(&self, bytes: usize) {
        self.rate_limit.add(bytes);
    }

    /// Changes what is kept and shown of requests that begin from now on. Hashes of hidden values
    /// stay comparable.
    pub(crate) fn set_rules(&self, bodies: usize, reveal: &[HeaderName]) {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(rules.changed(bodies, reveal));
    }

    /// The rules for a request that begins now.
    pub(super) fn rules(&self) -> Arc<Rules> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&rules)
    }

    /// The number of requests that came too fast to be recorded, and of notes that were lost because
    /// the queue was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, notes: Vec<Note>, bytes: usize) {
        let count = notes.len() as u64;
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = queued + bytes <= QUEUED_BYTES;
        let sent = has_room.then(|| self.sender.try_send((notes, bytes)));
        if matches!(sent, Some(Ok(()))) {
            return;
        }
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.dropped.fetch_add(count, Ordering::Relaxed);
        if let Some(Err(TrySendError::Closed(_))) = sent {
            self.set_recording(false);
        }
    }
}

impl Notes {
    /// The next batch of notes; `None` once there is no recorder any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Vec<Note>> {
        let (notes, bytes) = self.receiver.recv().await?;
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(notes)
    }
}

/// The batch of one worker.
#[derive(Debug)]
pub(crate) struct WorkerRecorder {
    recorder: Arc<Recorder>,
    batch: RefCell<Batch>,
    /// Requests above the rate limit that are not counted in [`Recorder::dropped`] yet, to which all
    /// workers write.
    skipped: Cell<u64>,
    /// Each body that is collected to be decoded has a clone.
    pub(super) decoding: Rc<()>,
    /// Notified with the first note of a batch, and the first request that is skipped.
    wake: Notify,
}

impl WorkerRecorder {
    /// An empty batch for one worker.
    pub(crate) fn new(recorder: &Arc<Recorder>) -> Rc<Self> {
        Rc::new(Self {
            recorder: Arc::clone(recorder),
            batch: RefCell::default(),
            skipped: Cell::default(),
            decoding: Rc::default(),
            wake: Notify::new(),
        })
    }

    /// Where its notes go.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Returns `true` if a request that begins now is to be recorded. One that `is_replay` was asked for
    /// in the inspector, and is recorded however many there are.
    pub(super) fn takes(&self, now: Instant, is_replay: bool) -> bool {
        if !self.recorder.is_recording() {
            return false;
        }
        let is_recorded = self.recorder.rate_limit.allows(now) || is_replay;
        if !is_recorded {
            self.skipped.update(|skipped| skipped + 1);
            if self.skipped.get() == 1 {
                self.wake.notify_one();
            }
        }
        is_recorded
    }

    pub(super) fn push(&self, note: Note) {
        let mut batch = self.batch.borrow_mut();
        batch.1 += note.size();
        batch.0.push(note);
        let (count, bytes) = (batch.0.len(), batch.1);
        drop(batch);
        if count >= BATCH || bytes >= BATCH_BYTES {
            self.flush();
        } else if count == 1 {
            self.wake.notify_one();
        }
    }

    fn flush(&self) {
        let skipped = self.skipped.take();
        if skipped > 0 {
            self.recorder.dropped.fetch_add(skipped, Ordering::Relaxed);
        }
        let (notes, bytes) = self.batch.take();
        if !notes.is_empty() {
            self.recorder.send(notes, bytes);
        }
    }

    /// Sends each batch when it is old enough, until the future is dropped.
    pub(crate) async fn flush_in_time(&self) {
        loop {
            self.wake.notified().await;
            sleep(BATCH_AGE).await;
            self.flush();
        }
    }
}

impl Drop for WorkerRecorder {
    fn drop(&mut self) {
        self.flush();
    }
}
