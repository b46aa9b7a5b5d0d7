//! The first secrets, before anything is served: which source wins is decided here.

use std::sync::Arc;

use futures_util::future::join_all;

use super::issued::Issued;
use super::service::Service;
use super::supply::{Source, Supply};
use super::{CredentialsError, Kind, hcloud_file};
use crate::clock::Moment;
use crate::config::Environment;
use crate::upstream::Network;

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

impl Supply {
    /// Goes on with what another supply of the same secret has begun, when a configuration was read again:
    /// whoever has the old one gets what is new, and the old one stays if there is nothing new.
    pub fn go_on_from(&mut self, before: &Self) {
        let new = self.feed.current();
        self.feed = Arc::clone(&before.feed);
        match new {
            Some(issued) => {
                let is_known = self
                    .feed
                    .current()
                    .is_some_and(|old| old.lifetime.is_none() && old.is_same_secret(&issued));
                if !is_known {
                    self.feed.deliver(Issued::clone(&issued));
                }
            }
            None => self.feed.fail(),
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
                        "{} gives no {} for credentials \"{}\": {error}; it is asked again; without \
                         one that is good, requests are answered with 503",
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
