//! SIGHUP: everything is read again, and what has changed takes effect without losing a request.
//!
//! # What can go wrong
//!
//! Whatever can be wrong at a start. Then the proxy goes on as it is, and the log says what is wrong.

use tokio::task::spawn_blocking;

use super::load::load;
use super::signals::Hangups;
use crate::config::{Config, Environment, Loaded, Overrides, Problems, Settings};
use crate::credentials::{self, Supply};
use crate::server::{NewConfig, Reloader, Supervisor, network};
use crate::telemetry;
use crate::upstream::Network;

/// Keys that only a start can change.
const SETTLED: [&str; 2] = ["admin", "log.format"];
const SETTLED_TABLE: &str = "unix_socket.";

/// What a running proxy was started with, or turned to last.
#[derive(Debug)]
pub(super) struct Reloading {
    pub(super) overrides: Overrides,
    pub(super) config: Config,
    pub(super) settings: Settings,
    pub(super) supplies: Vec<Supply>,
    pub(super) network: Network,
    pub(super) supervisor: Supervisor,
}

impl Reloading {
    /// Reads everything again at each signal, for ever.
    pub(super) async fn run(mut self, mut hangups: Hangups, reloader: Reloader) {
        loop {
            hangups.next().await;
            if reloader.is_stopping() {
                tracing::info!("SIGHUP was received; nothing is reloaded, since the proxy stops");
                continue;
            }
            tracing::info!("reloading: SIGHUP was received");
            self.supervisor.reloading();
            if let Err(problems) = self.reload(&reloader).await {
                tracing::error!("not reloaded, the proxy goes on as it is: {problems}");
            }
            // Also when it failed: the proxy serves.
            self.supervisor.ready("requests are served");
        }
    }

    async fn reload(&mut self, reloader: &Reloader) -> Result<(), String> {
        // Read anew rather than kept: it may hold secrets.
        let environment = Environment::from_env();
        let (overrides, variables) = (self.overrides.clone(), environment.clone());
        // A file may be on a mount that hangs, and nothing else may hang with it.
        let loading = spawn_blocking(move || load(&overrides, &variables));
        let loaded = loading.await.map_err(|error| error.to_string())?;
        let loaded = loaded.map_err(|problems| problems.to_string())?;
        let (
            Loaded {
                config, settings, ..
            },
            mut supplies,
        ) = loaded;
        let network = self.network_for(&config)?;
        let started = credentials::start(&mut supplies, &network, &environment).await;
        started.map_err(|errors| {
            let problems = errors.into_iter().map(|error| error.into_problem(None));
            Problems(problems.collect()).to_string()
        })?;
        let changed = self.changed_secrets(&supplies);
        for supply in &mut supplies {
            if let Some(old) = self.supplies.iter().find(|old| old.same_config(supply)) {
                supply.continue_from(old);
            }
        }
        let new = NewConfig {
            config: config.clone(),
            supplies: supplies.clone(),
            network: network.clone(),
        };
        let reloaded = reloader.reload(new).await;
        reloaded.map_err(|error| error.to_string())?;
        telemetry::set_level(&config.log);
        let next = Self {
            overrides: self.overrides.clone(),
            config,
            settings,
            supplies,
            network,
            supervisor: self.supervisor.clone(),
        };
        next.report(self, changed);
        *self = next;
        Ok(())
    }

    /// The network as it is, if nothing about whom it trusts has changed: then connections can be kept.
    fn network_for(&self, config: &Config) -> Result<Network, String> {
        if config.upstream_tls.extra_roots == self.config.upstream_tls.extra_roots {
            return Ok(self.network.clone());
        }
        network(config).map_err(|error| error.to_string())
    }

    /// Says what has changed, by name.
    fn report(&self, before: &Self, changed_secrets: Vec<String>) {
        let mut changed = self.settings.changed_since(&before.settings);
        let is_settled =
            |key: &String| SETTLED.contains(&key.as_str()) || key.starts_with(SETTLED_TABLE);
        let settled: Vec<String> = changed
            .iter()
            .filter(|key| is_settled(key))
            .cloned()
            .collect();
        if !settled.is_empty() {
            tracing::warn!("{} take effect at the next start only", settled.join(", "));
        }
        changed.retain(|key| !is_settled(key));
        // What a key names may have changed although the key has not.
        let files = [
            (
                "access.token_file",
                self.config.access.token != before.config.access.token,
            ),
            (
                "upstream_tls.ca_file",
                self.config.upstream_tls.extra_roots != before.config.upstream_tls.extra_roots,
            ),
        ];
        for (key, _) in files.into_iter().filter(|(_, has_changed)| *has_changed) {
            if !changed.iter().any(|known| known == key) {
                changed.push(format!("the content of {key}"));
            }
        }
        changed.extend(changed_secrets);
        if changed.is_empty() {
            tracing::info!("reloaded, nothing has changed");
        } else {
            tracing::info!("reloaded, changed: {}", changed.join(", "));
        }
    }

    /// The secrets that are others than before, by name.
    fn changed_secrets(&self, supplies: &[Supply]) -> Vec<String> {
        let changed = supplies.iter().filter(|supply| {
            let wanted = supply.feed().status();
            let old = self.supplies.iter().find(|old| {
                let status = old.feed().status();
                (status.kind, &status.label) == (wanted.kind, &wanted.label)
            });
            let both = old.and_then(|old| old.feed().current().zip(supply.feed().current()));
            both.is_some_and(|(old, new)| !old.is_same_secret(&new))
        });
        let name = |supply: &Supply| {
            let status = supply.feed().status();
            format!("the {} of credentials {}", status.kind, status.label)
        };
        changed.map(name).collect()
    }
}
