//! Keeps secrets fresh: looks at files, asks services before a secret comes to its end, one request at a
//! time, and tries again ever more rarely when that fails. The old secret stays until it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::CredentialsError;
use super::feed::Feed;
use super::files::{Files, Stamp};
use super::issued::Issued;
use super::service::Service;
use super::supply::{Source, Supply};
use crate::clock::Moment;
use crate::upstream::Network;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file has to look the same to be believed.
const SETTLE: Duration = Duration::from_millis(100);

/// The longest time that is waited without looking at the clocks, since one of them may be set, or the machine
/// may sleep.
const NAP: Duration = Duration::from_secs(30);

/// How long asking pauses after a failure: at first, then twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How far apart a service is asked at least, however much of a hurry there is.
const GAP: Duration = Duration::from_secs(1);

/// Keeps one supply fresh, for ever.
pub async fn keep(supply: Supply, network: Network) {
    let Supply {
        label,
        source,
        feed,
        need,
        ..
    } = supply;
    let kept = Kept {
        what: format!("the {} of credentials \"{label}\"", need.kind),
        feed,
    };
    match source {
        Source::Fixed | Source::FirstOf(_) => {}
        Source::Files(files, seen) => kept.watch(&files, seen).await,
        Source::Service(service) => kept.renew(&service, &network).await,
    }
}

/// How files look. A mount may hang, so it is not for the thread that accepts connections and takes signals.
async fn stamp(files: &Files) -> Stamp {
    let files = files.clone();
    let looking = spawn_blocking(move || files.stamp());
    looking.await.unwrap_or_default()
}

/// What files hold; see [`stamp`].
async fn load(files: &Files) -> Result<Option<Issued>, CredentialsError> {
    let files = files.clone();
    let loading = spawn_blocking(move || files.load());
    loading.await.unwrap_or(Ok(None))
}

/// A secret that is kept fresh.
struct Kept {
    /// Its name in the log.
    what: String,
    feed: Arc<Feed>,
}

impl Kept {
    /// Reads files again whenever they have changed.
    async fn watch(&self, files: &Files, mut seen: Stamp) {
        let mut failed = None;
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.feed.hurried() => {}
            }
            let now = stamp(files).await;
            if now == seen {
                if failed.take().is_some() {
                    self.feed.mend();
                    tracing::info!("{} is in its file again as it was", self.what);
                }
                continue;
            }
            sleep(SETTLE).await;
            let loaded = load(files).await;
            if stamp(files).await != now {
                continue;
            }
            match loaded {
                Ok(Some(issued)) => {
                    tracing::info!("{} was read again from {}", self.what, issued.origin);
                    self.feed.deliver(issued);
                    (seen, failed) = (now, None);
                }
                Ok(None) => {}
                // It is tried again, since permissions may change without a trace, but said once.
                Err(error) if failed.as_ref() != Some(&now) => {
                    self.feed.fail();
                    tracing::error!(
                        "{} has changed and cannot be used; the old one stays: {error}",
                        self.what
                    );
                    failed = Some(now);
                }
                Err(_) => {}
            }
        }
    }

    /// Asks a service in time for a new secret.
    async fn renew(&self, service: &Service, network: &Network) {
        let was_asked = self.feed.status().failed > 0;
        let mut failures = u32::from(was_asked);
        let mut asked = Moment::now();
        let mut is_due = self.feed.current().is_none() && !was_asked;
        loop {
            if !is_due {
                self.wait(failures, asked).await;
            }
            is_due = false;
            asked = Moment::now();
            match service.ask(network).await {
                Ok(issued) => {
                    if failures > 0 {
                        tracing::info!("{} gives {} again", service.name(), self.what);
                    } else {
                        tracing::debug!("{} has given {} anew", service.name(), self.what);
                    }
                    failures = 0;
                    self.feed.deliver(issued);
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.feed.fail();
                    self.report(service, &error);
                }
            }
        }
    }

    /// Waits until it is time to ask.
    async fn wait(&self, failures: u32, asked: Moment) {
        let jitter = 0.9 + fastrand::f64() * 0.1;
        loop {
            let now = Moment::now();
            let due = self.due(failures, asked, now).mul_f64(jitter);
            if due.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(due.min(NAP)) => {
                    if due <= NAP {
                        return;
                    }
                }
                () = self.feed.hurried() => {
                    // After a failure, the pause is kept: a service that is down is not helped by being asked.
                    if failures == 0 {
                        sleep(GAP.saturating_sub(now.since(asked))).await;
                        return;
                    }
                }
            }
        }
    }

    /// How long it takes until the service is to be asked.
    fn due(&self, failures: u32, asked: Moment, now: Moment) -> Duration {
        let current = self.feed.current();
        if failures == 0 {
            let renewal = current.and_then(|issued| issued.renewal_in(now));
            return renewal.unwrap_or(LONGEST);
        }
        let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let mut pause = PAUSE.saturating_mul(doubled).min(LONGEST);
        // As the end comes near, more often.
        if let Some(left) = current.and_then(|issued| issued.left(now))
            && !left.is_zero()
        {
            pause = pause.min((left / 4).max(PAUSE / 10));
        }
        pause.saturating_sub(now.since(asked))
    }

    fn report(&self, service: &Service, error: &super::ServiceError) {
        let left = self
            .feed
            .current()
            .and_then(|issued| issued.left(Moment::now()));
        match left.map(|left| left.as_secs()) {
            Some(seconds) if seconds > 0 => tracing::warn!(
                "{} does not give {} anew: {error}; the old one is good for another {seconds} s, and it is asked again",
                service.name(),
                self.what
            ),
            _ => tracing::error!(
                "{} does not give {}: {error}; it is asked again, and until then requests are answered with 503",
                service.name(),
                self.what
            ),
        }
    }
}

#[cfg(test)]
mod tests;
