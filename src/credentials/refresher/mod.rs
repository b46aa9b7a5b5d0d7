//! Keeps the slots filled: asks services at the start and before a secret expires, and polls files.
//!
//! A service is asked one request at a time, with a backoff after failures; the old secret stays
//! until it expires.
//!
//! # What can go wrong
//!
//! Services refuse, hang, or give expired secrets; files are half written or disappear.
//! Each failure is logged and counted, and only requests without any valid secret fail.

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

/// A file has to look the same for this long before it is used.
const SETTLE: Duration = Duration::from_millis(100);

/// The longest sleep before the clocks are read again, since one of them may be set, or the machine
/// may sleep.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// The backoff after failures: the first, and the longest; it doubles each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The shortest time between two requests to a service when refreshes are requested.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Asks the services once, all at the same time, so that the first request finds its secret. A
/// service that gives nothing now is asked again later, unless it was only tried and there is no
/// other source.
///
/// # Errors
///
/// [`CredentialsError::NothingFound`] for each secret that has no source.
///
/// # Cancel safety
///
/// Dropping the future gives up the requests.
pub async fn start(sources: &mut [Source], network: &Network) -> Result<(), Vec<CredentialsError>> {
    let sources = sources.iter_mut();
    let starting = sources.map(|source| source.start(network));
    let started = join_all(starting).await.into_iter();
    let errors: Vec<_> = started.filter_map(Result::err).collect();
    errors.is_empty().then_some(()).ok_or(errors)
}

impl Source {
    async fn start(&mut self, network: &Network) -> Result<(), CredentialsError> {
        let found = self.find_first(network).await?;
        match (found, &self.backend) {
            (Some(lease), _) => self.slot.deliver(lease),
            (None, Backend::Fixed(_) | Backend::Files(..) | Backend::FirstOf(_)) => {}
            (None, backend) => match backend.ask(network).await {
                Ok(lease) => self.slot.deliver(lease),
                Err(error) => {
                    self.slot.fail();
                    report(&self.slot, &backend.name(), &error);
                    self.failure = Some(format!("{}: {}", backend.name(), on_one_line(&error)));
                }
            },
        }
        self.announce();
        Ok(())
    }

    /// Replaces services that are only tried by the first that gives a key. Returns the key, unless it
    /// is one that an agency is asked for with.
    async fn find_first(&mut self, network: &Network) -> Result<Option<Lease>, CredentialsError> {
        let (backend, is_own) = match &mut self.backend {
            Backend::Agency(base, _) => (&mut **base, false),
            own => (own, true),
        };
        let Backend::FirstOf(services) = backend else {
            return Ok(None);
        };
        for service in std::mem::take(services) {
            match service.ask(network, None).await {
                Ok(lease) => {
                    *backend = Backend::Service(service);
                    return Ok(is_own.then_some(lease));
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
        let what = match self.requirement.kind {
            AuthMode::AkSk => "signing with the key".to_owned(),
            kind => format!("using the {kind}"),
        };
        let left = lease.left(Moment::now());
        let end = left.map(|left| format!(", good for {} s", left.as_secs()));
        let passed_over = match reasons(&self.passed_over) {
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
    let slot = source.slot;
    match source.backend {
        Backend::Fixed(_) | Backend::FirstOf(_) => {}
        Backend::Files(files, seen) => poll(&slot, &files, seen).await,
        backend @ (Backend::Service(_) | Backend::Agency(..)) => {
            renew(&slot, &backend, &network).await;
        }
    }
}

/// Runs file access on another thread, since a mount may hang and this one accepts connections and
/// takes signals.
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
                tracing::info!("{slot} is in its file again as it was");
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
async fn renew(slot: &Slot, backend: &Backend, network: &Network) {
    let name = backend.name();
    let mut failures = u32::from(slot.status().failed > 0);
    let mut asked = Moment::now();
    let mut is_due = failures == 0 && slot.current().is_none();
    loop {
        if !is_due {
            wait(slot, failures, asked).await;
        }
        is_due = false;
        asked = Moment::now();
        match backend.ask(network).await {
            Ok(lease) => {
                if failures > 0 {
                    tracing::info!("{name} gives {slot} again");
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

/// Waits until a service is to be asked.
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

/// The time until a service is to be asked.
fn delay(slot: &Slot, failures: u32, asked: Moment, now: Moment) -> Duration {
    let current = slot.current();
    if failures == 0 {
        let refresh = current.and_then(|lease| lease.refresh_in(now));
        return refresh.unwrap_or(MAX_BACKOFF);
    }
    let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
    let mut backoff = MIN_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF);
    // As the end of the secret comes near, more often.
    if let Some(left) = current.and_then(|lease| lease.left(now))
        && !left.is_zero()
    {
        backoff = backoff.min((left / 4).max(MIN_BACKOFF / 10));
    }
    backoff.saturating_sub(now.since(asked))
}

fn report(slot: &Slot, service: &str, error: &CredentialsError) {
    let error = on_one_line(error);
    match slot.status().left.map(|left| left.as_secs()) {
        Some(seconds) if seconds > 0 => tracing::warn!(
            "{service} does not refresh {slot}: {error}; the current one is valid for another {seconds} s, \
             and the request is repeated"
        ),
        _ => tracing::error!(
            "{service} does not give {slot}: {error}; the request is repeated, and until it succeeds \
             requests are answered with 503"
        ),
    }
}

#[cfg(test)]
mod tests;
