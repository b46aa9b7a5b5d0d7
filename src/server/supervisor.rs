//! Notifications to the supervisor, by systemd's `sd_notify` protocol: ready, reloading, stopping,
//! and the watchdog's pings.
//!
//! The crate `sd-notify` formats them, but the socket is our own. The crate reads the environment
//! for each message, which only [`crate::config`] may, and opens a socket for each: without a
//! descriptor, the watchdog would fire at a proxy that still serves.
//!
//! # What can go wrong
//!
//! The supervisor may be gone or not read. Nothing here waits for it, and nothing fails with it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::config::Environment;

/// The answer of a worker that has ended in good order, to all rounds.
const HAS_ENDED: u64 = u64::MAX;

/// The supervisor of this process, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor(Option<Arc<NotifySocket>>);

#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    /// The interval within which it expects a ping.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The supervisor of `NOTIFY_SOCKET`, and `WATCHDOG_USEC` unless `WATCHDOG_PID` is another
    /// process. Fails if there is one that cannot be notified.
    pub(crate) fn from_env(environment: &Environment) -> io::Result<Self> {
        let Some(path) = environment.get("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(path)?)?;
        socket.set_nonblocking(true)?;
        let watchdog = watchdog_interval(environment);
        Ok(Self(Some(Arc::new(NotifySocket { socket, watchdog }))))
    }

    /// Says that requests are served: after the start, and after a reload.
    pub(crate) fn ready(&self, status: &str) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says that a reload has begun; [`Self::ready`] ends it, also when it has failed.
    pub(crate) fn reloading(&self) {
        // Without the time, the supervisor could take an older message for the answer to its
        // signal.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.notify(&[NotifyState::Reloading, now]);
        }
    }

    /// Says that the process ends once running requests are finished.
    pub(crate) fn stopping(&self) {
        let status = "stopping: running requests are finished";
        self.notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Pings the watchdog twice as often as required, as long as all workers answer.
    pub(super) async fn watch(self, heartbeats: Arc<Heartbeats>) {
        let interval = self.0.as_ref().and_then(|socket| socket.watchdog);
        let Some(interval) = interval else {
            return std::future::pending().await;
        };
        let mut is_well = true;
        loop {
            let was_well = std::mem::replace(&mut is_well, heartbeats.all_answered());
            if is_well {
                self.notify(&[NotifyState::Watchdog]);
            } else if was_well {
                tracing::error!(
                    "a worker hangs; the watchdog is no longer pinged, so that the supervisor restarts the proxy"
                );
            }
            tokio::time::sleep(interval / 2).await;
        }
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        let Some(supervisor) = &self.0 else { return };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = supervisor.socket.send(lines.as_bytes()) {
            tracing::debug!(%error, "the supervisor could not be notified");
        }
    }
}

/// The address of a socket; a leading `@` stands for one without a file.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

/// The interval within which the supervisor expects a ping of this process.
fn watchdog_interval(environment: &Environment) -> Option<Duration> {
    let number = |name| environment.text(name)?.parse::<u64>().ok();
    let is_meant = environment.get("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    let interval = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_meant);
    interval.map(Duration::from_micros)
}

/// The heartbeats of the workers, for the watchdog. Each round has a number, and each worker answers
/// with it. One that hangs, in an endless loop or in a blocking call, does not. The accepting thread
/// starts the rounds; that it runs proves nothing about the workers.
#[derive(Debug)]
pub(super) struct Heartbeats {
    rounds: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<AtomicU64>,
}

impl Heartbeats {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            rounds: watch::Sender::new(0),
            answered: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns true if all workers have answered the last round. Begins the next one.
    pub(super) fn all_answered(&self) -> bool {
        let round = *self.rounds.borrow();
        let mut answers = self.answered.iter();
        let all_answered = answers.all(|answered| answered.load(Ordering::Relaxed) >= round);
        self.rounds.send_replace(round + 1);
        all_answered
    }

    /// Answers every round, for as long as the worker runs its tasks.
    pub(super) async fn answer(self: Arc<Self>, worker: usize) {
        let mut rounds = self.rounds.subscribe();
        loop {
            let round = *rounds.borrow_and_update();
            self.answered[worker].store(round, Ordering::Relaxed);
            if rounds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Marks a worker as ended in good order. One that ends in a panic is as bad as one that hangs.
    pub(super) fn end(&self, worker: usize) {
        self.answered[worker].store(HAS_ENDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_lets_the_watchdog_fire() {
        let own = std::process::id().to_string();
        // The second worker answers, has ended in good order, or neither. The watchdog may be that
        // of another process.
        for (answers, has_ended, pid, pings) in [
            (true, false, "", 11),
            (false, true, &*own, 11),
            (false, false, "", 1),
            (true, false, "1", 0),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let environment = Environment::from_pairs([
                ("NOTIFY_SOCKET", path.to_str().unwrap()),
                ("WATCHDOG_USEC", "2000000"),
                ("WATCHDOG_PID", pid),
            ]);
            let supervisor = Supervisor::from_env(&environment).unwrap();
            let heartbeats = Arc::new(Heartbeats::new(2));
            let answer = |worker| tokio::spawn(Arc::clone(&heartbeats).answer(worker));
            let mut tasks = vec![answer(0)];
            if answers {
                tasks.push(answer(1));
            }
            if has_ended {
                heartbeats.end(1);
            }
            tasks.push(tokio::spawn(supervisor.watch(Arc::clone(&heartbeats))));
            tokio::time::sleep(Duration::from_millis(10_500)).await;
            let mut buffer = [0; 1024];
            let heard = std::iter::from_fn(|| socket.recv(&mut buffer).ok());
            assert_eq!(heard.count(), pings);
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }
}
