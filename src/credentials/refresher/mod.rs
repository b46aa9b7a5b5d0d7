//! Keeps the slots filled: asks services at startup and before a secret expires, and polls files.
//!
//! A service is asked one request at a time, with a backoff after failures; the old secret stays
//! until it expires.
//!
//! # What can go wrong
//!
//! Services refuse, hang, or issue expired secrets; files are half written or disappear. Each failure
//! is logged and counted, and requests fail only when there is no valid secret.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::CredentialsError;
use super::error::{on_one_line, reasons};
use super::file::Files;
use super::slot::Slot;
use super::source::{Backend, Source};
use super::types::Lease;
use crate::clock::Moment;
use crate::config::{AuthMode, FileStamps};
use crate::upstream::Network;

/// The interval at which files are polled.
const POLL: Duration = Duration::from_secs(1);

/// A changed file is used only after it has stayed the same for this long.
const SETTLE: Duration = Duration::from_millis(100);

/// The longest sleep before the clocks are read again: a clock may be set, or the machine suspended.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// The backoff after failures: the first, and the longest; it doubles each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The shortest time between two requests to a service when refreshes are requested.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Asks all services once, concurrently, so that the first request finds its secret. A service that
/// fails is asked again later, unless it was only tried and there is no other source.
///
/// # Errors
///
/// [`CredentialsError::NothingFound`] for each secret that has no source.
///
/// # Cancel safety
///
/// Dropping the future cancels the requests.
pub async fn start(sources: &mut [Source], network: &Network) -> Result<(), Vec<CredentialsError>> {
    let sources = sources.iter_mut();
    let starting = sources.map(|source| source.start(network));
    let started = join_all(starting).await.into_iter();
    let errors: Vec<_> = started.filter_map(Result::err).collect();
    errors.is_empty().then_some(()).ok_or(errors)
}

impl Source {
    async fn start(&mut self, network: &Network) -> Result<(), CredentialsError> {
        if self.is_service() {
            let asked = match self.find_first(network).await? {
                Some(lease) => self.exchange(lease, network).await,
                None => self.ask(network).await,
            };
            match asked {
                Ok(lease) => self.slot.deliver(lease),
                Err(error) => {
                    self.slot.fail();
                    report(&self.slot, &self.name(), &error);
                    self.failure = Some(format!("{}: {}", self.name(), on_one_line(&error)));
                }
            }
        }
        self.announce();
        Ok(())
    }

    /// Replaces services that are only tried by the first that gives a key, and returns that key.
    async fn find_first(&mut self, network: &Network) -> Result<Option<Lease>, CredentialsError> {
        let Backend::FirstOf(services) = &mut self.backend else {
            return Ok(None);
        };
        for service in std::mem::take(services) {
            match service.ask(network, None).await {
                Ok(lease) => {
                    self.backend = Backend::Service(service);
                    return Ok(Some(lease));
                }
                Err(error) => self.passed_over.push((service.name, on_one_line(&error))),
            }
        }
        let passed_over = std::mem::take(&mut self.passed_over);
        Err(CredentialsError::NothingFound(passed_over))
    }

    /// Logs the source that was found, and why others were passed over.
    fn announce(&self) {
        let Some(lease) = self.slot.current() else {
            return;
        };
        let what = match self.auth.mode {
            AuthMode::AkSk => "signing with the key".to_owned(),
            kind => format!("using the {}", kind.name()),
        };
        let left = lease.left(Moment::now());
        let end = left.map(|left| format!(", good for {} s", left.as_secs()));
        let passed_over = match reasons(&self.passed_over, "; ") {
            none if none.is_empty() => none,
            reasons => format!(" (not from {reasons})"),
        };
        tracing::info!(
            "{what}{} from {}{}{passed_over}",
            self.of_set(),
            lease.origin,
            end.unwrap_or_default()
        );
    }
}

/// Keeps the slot of a source filled. It returns at once if the secret never changes, else never.
pub async fn refresh(source: Source, network: Network) {
    if source.is_service() {
        renew(&source, &network).await;
    } else if let Backend::Files(files, seen) = source.backend {
        poll(&source.slot, &files, seen).await;
    }
}

/// Accesses files on another thread, since a mount may hang, and this thread accepts connections and
/// handles signals.
async fn unblocked<T: Send + 'static>(files: &Files, access: fn(&Files) -> T) -> T {
    let files = files.clone();
    let accessing = spawn_blocking(move || access(&files));
    accessing.await.expect("file access does not panic")
}

/// Reads files again whenever they have changed.
async fn poll(slot: &Slot, files: &Files, mut seen: FileStamps) {
    let mut failed = None;
    loop {
        tokio::select! {
            () = sleep(POLL) => {}
            () = slot.refresh_requested() => {}
        }
        let now = unblocked(files, Files::stamps).await;
        if now == seen {
            if failed.take().is_some() {
                slot.recovered();
                tracing::info!("the file of {slot} is there again, unchanged");
            }
            continue;
        }
        sleep(SETTLE).await;
        let loaded = unblocked(files, Files::load).await;
        if unblocked(files, Files::stamps).await != now {
            continue;
        }
        match loaded {
            Ok(lease) => {
                tracing::info!("{slot} was read again from {}", lease.origin);
                slot.deliver(lease);
                (seen, failed) = (now, None);
            }
            // It is tried again, since permissions may change without a trace, but logged once.
            Err(error) if failed.as_ref() != Some(&now) => {
                slot.fail();
                let error = on_one_line(&error);
                tracing::error!(
                    "{slot} has changed and cannot be used; the old one stays: {error}"
                );
                failed = Some(now);
            }
            Err(_) => {}
        }
    }
}

/// Asks a service for a new secret before the current one expires.
async fn renew(source: &Source, network: &Network) {
    let (slot, name) = (&*source.slot, source.name());
    let mut failures = u32::from(slot.attempts().failed > 0);
    let mut asked = Moment::now();
    let mut is_due = failures == 0 && slot.current().is_none();
    loop {
        if !is_due {
            wait(slot, failures, asked).await;
        }
        is_due = false;
        asked = Moment::now();
        match source.ask(network).await {
            Ok(lease) => {
                if failures > 0 {
                    tracing::info!("{name} provides {slot} again");
                } else {
                    tracing::debug!("{name} has refreshed {slot}");
                }
                failures = 0;
                slot.deliver(lease);
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                slot.fail();
                report(slot, &name, &error);
            }
        }
    }
}

/// Waits until the next request to a service is due.
async fn wait(slot: &Slot, failures: u32, asked: Moment) {
    let jitter = 0.9 + fastrand::f64() * 0.1;
    loop {
        let now = Moment::now();
        let delay = delay(slot, failures, asked, now).mul_f64(jitter);
        tokio::select! {
            () = sleep(delay.min(MAX_SLEEP)) => {
                if delay <= MAX_SLEEP {
                    return;
                }
            }
            () = slot.refresh_requested() => {
                // After a failure the backoff stays: more requests do not help a service that is
                // down.
                if failures == 0 {
                    return sleep(MIN_INTERVAL.saturating_sub(now.since(asked))).await;
                }
            }
        }
    }
}

/// The time until the next request to a service.
fn delay(slot: &Slot, failures: u32, asked: Moment, now: Moment) -> Duration {
    let current = slot.current();
    if failures == 0 {
        let refresh = current.and_then(|lease| lease.refresh_in(now));
        return refresh.unwrap_or(MAX_BACKOFF);
    }
    let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
    let mut backoff = MIN_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF);
    // More often as the expiry of the secret comes near.
    if let Some(left) = current.and_then(|lease| lease.left(now))
        && !left.is_zero()
    {
        backoff = backoff.min((left / 4).max(MIN_BACKOFF / 10));
    }
    backoff.saturating_sub(now.since(asked))
}

fn report(slot: &Slot, service: &str, error: &CredentialsError) {
    let error = on_one_line(error);
    match slot.left().map(|left| left.as_secs()) {
        Some(seconds) if seconds > 0 => tracing::warn!(
            "cannot refresh {slot} from {service}, which is tried again; the current one is valid for another \
             {seconds} s: {error}"
        ),
        _ => tracing::error!(
            "cannot get {slot} from {service}, which is tried again; requests are answered with 503 until it \
             succeeds: {error}"
        ),
    }
}

#[cfg(test)]
mod tests;
