//! Keeps secrets fresh: looks at files, asks services before a secret comes to its end, one request at a
//! time, and tries again ever more rarely when that fails. The old secret stays until it ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::feed::Feed;
use super::files::{Files, Stamp};
use super::issued::Issued;
use super::service::Service;
use super::supply::{Source, Supply};
use super::{CredentialsError, Kind, hcloud_file};
use crate::clock::Moment;
use crate::config::Environment;
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

/// Asks the services once, all at the same time, so that the first request finds what it needs. One that gives
/// nothing now is asked again later, unless it was only looked for and there is no other source.
///
/// # Errors
///
/// [`CredentialsError::NothingFound`] for each supply that has no source.
pub async fn start(
    supplies: &mut [Supply],
    network: &Network,
    environment: &Environment,
) -> Result<(), Vec<CredentialsError>> {
    let starting = supplies
        .iter_mut()
        .map(|supply| supply.start(network, environment));
    let errors: Vec<_> = join_all(starting)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

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

impl Supply {
    /// Gives what another supply of the same secret gave, if that is still good: for when a configuration
    /// is read again and the service does not answer.
    pub fn fall_back_on(&self, other: &Feed) {
        if self.feed.current().is_none()
            && let Some(issued) = other.current()
            && issued.is_good(Moment::now())
        {
            self.feed.deliver(Issued::clone(&issued));
        }
    }

    async fn start(
        &mut self,
        network: &Network,
        environment: &Environment,
    ) -> Result<(), CredentialsError> {
        match &self.source {
            Source::Fixed | Source::Files(..) => {}
            Source::Service(service) => match service.ask(network).await {
                Ok(issued) => self.feed.deliver(issued),
                Err(error) => {
                    self.feed.fail();
                    tracing::error!(
                        "{} gives no {} for credentials \"{}\": {error}; it is asked again, and until then \
                         requests are answered with 503",
                        service.name(),
                        self.need.kind,
                        self.label
                    );
                }
            },
            Source::FirstOf(services) => {
                let services = services.clone();
                self.start_first(services, network, environment).await?;
            }
        }
        self.announce();
        Ok(())
    }

    async fn start_first(
        &mut self,
        services: Vec<Service>,
        network: &Network,
        environment: &Environment,
    ) -> Result<(), CredentialsError> {
        for service in services {
            match service.ask(network).await {
                Ok(issued) => {
                    self.feed.deliver(issued);
                    self.source = Source::Service(Box::new(service));
                    return Ok(());
                }
                Err(error) => self.passed_over.push((service.name(), error.to_string())),
            }
        }
        Err(CredentialsError::NothingFound {
            passed_over: std::mem::take(&mut self.passed_over),
            hcloud: hcloud_file(environment),
        })
    }

    /// Says which source won, and why others did not.
    fn announce(&self) {
        let Some(issued) = self.feed.current() else {
            return;
        };
        let what = match self.need.kind {
            Kind::Key => "signing with the key",
            Kind::Token => "using the token",
            Kind::AppCode => "using the app code",
            Kind::ApiKey => "using the api key",
        };
        let end = issued.left(Moment::now());
        let end = end.map(|left| format!(", good for {} s", left.as_secs()));
        let passed_over = self.passed_over.iter();
        let passed_over: Vec<String> = passed_over
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        let passed_over = if passed_over.is_empty() {
            String::new()
        } else {
            format!(" (not from {})", passed_over.join("; "))
        };
        tracing::info!(
            "{what}{} from {}{}{passed_over}",
            self.of_set(),
            issued.origin,
            end.unwrap_or_default()
        );
    }
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
            let now = files.stamp();
            if now == seen {
                if failed.take().is_some() {
                    self.feed.mend();
                    tracing::info!("{} is in its file again as it was", self.what);
                }
                continue;
            }
            sleep(SETTLE).await;
            let loaded = files.load();
            if files.stamp() != now {
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
