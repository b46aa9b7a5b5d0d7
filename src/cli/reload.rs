//! SIGHUP: reads the configuration and every file it references again, and applies what has changed
//! without losing a request.
//!
//! Whatever can be wrong at a start can be wrong here. Then the proxy goes on as it is, and the log
//! lists the problems.

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use super::Failure;
use super::load::load;
use crate::config::{Environment, Loaded, Overrides, Settings};
use crate::credentials::{self, Source};
use crate::server::{NewConfig, Reloader, Supervisor, network};
use crate::telemetry;
use crate::upstream::Network;

/// A running proxy, and the configuration that it was started with or reloaded last.
#[derive(Debug)]
pub(super) struct Reloading {
    pub(super) overrides: Overrides,
    pub(super) supervisor: Supervisor,
    /// The settings of the start: some keys are applied then only.
    pub(super) started: Settings,
    pub(super) current: Applied,
}

/// A configuration in effect.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) loaded: Loaded,
    pub(super) sources: Vec<Source>,
    pub(super) network: Network,
}

impl Reloading {
    /// Reloads at each SIGHUP.
    pub(super) async fn run(mut self, mut hangups: Signal, reloader: Reloader) {
        while hangups.recv().await.is_some() {
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

    /// Loads, applies and logs the new configuration; on an error nothing has changed.
    async fn reload(&mut self, reloader: &Reloader) -> Result<(), String> {
        let mut new = self.load().await?;
        for source in &mut new.sources {
            let mut old = self.current.sources.iter();
            if let Some(old) = old.find(|old| old.same_config(source)) {
                source.continue_from(old);
            }
        }
        let reloaded = reloader.reload(NewConfig {
            config: new.loaded.config.clone(),
            sources: new.sources.clone(),
            network: new.network.clone(),
        });
        reloaded.await.map_err(|error| error.to_string())?;
        telemetry::set_level(&new.loaded.config.log);
        let old = std::mem::replace(&mut self.current, new).loaded.settings;
        self.log_changes(&old);
        Ok(())
    }

    /// Loads the configuration and asks the services for credentials.
    async fn load(&self) -> Result<Applied, String> {
        // Read at each reload and not kept, since it may hold secrets.
        let environment = Environment::from_env();
        let (overrides, variables) = (self.overrides.clone(), environment.clone());
        // A file may be on a mount that hangs, and nothing else may hang with it.
        let loading = spawn_blocking(move || load(&overrides, &variables));
        let loaded = loading.await.map_err(|error| error.to_string())?;
        let (loaded, mut sources) = loaded.map_err(|problems| problems.to_string())?;
        let old = &self.current;
        // With the same trusted roots and client certificate, the network and its connections are
        // kept.
        let network = if loaded.config.upstream_tls == old.loaded.config.upstream_tls {
            old.network.clone()
        } else {
            network(&loaded.config).map_err(|error| error.to_string())?
        };
        credentials::start(&mut sources, &network)
            .await
            .map_err(|errors| Failure::no_credentials(errors).message)?;
        Ok(Applied {
            loaded,
            sources,
            network,
        })
    }

    /// Logs the names of the keys that have changed since the last reload, and of those whose change
    /// needs a restart.
    fn log_changes(&self, old: &Settings) {
        let new = &self.current.loaded.settings;
        let needs_restart = |key: &String| {
            matches!(&**key, "admin" | "log.format") || key.starts_with("unix_socket.")
        };
        let (mut waiting, mut changed) = (new.changed_since(&self.started), new.changed_since(old));
        waiting.retain(needs_restart);
        changed.retain(|key| !needs_restart(key));
        if !waiting.is_empty() {
            tracing::warn!("changes that need a restart: {}", waiting.join(", "));
        }
        if changed.is_empty() {
            tracing::info!("reloaded, no key has changed, and files are read again");
        } else {
            tracing::info!("reloaded, changed: {}", changed.join(", "));
        }
    }
}
