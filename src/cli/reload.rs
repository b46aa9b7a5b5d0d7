//! SIGHUP: reads the configuration and every file it references again, and applies what has changed
//! without losing a request.
//!
//! Whatever can be wrong at a start can be wrong here. Then the proxy goes on as it is, and the log
//! lists the problems.

use secrecy::ExposeSecret;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use super::Failure;
use super::load::load;
use crate::config::{CallerToken, Config, Environment, Loaded, Overrides, Settings};
use crate::credentials::{self, Source};
use crate::server::{NewConfig, Reloader, Supervisor, network};
use crate::telemetry;
use crate::upstream::Network;

/// The configuration that a running proxy was started with, or reloaded last.
#[derive(Debug)]
pub(super) struct Reloading {
    overrides: Overrides,
    supervisor: Supervisor,
    current: Applied,
}

/// A configuration in effect.
#[derive(Debug)]
struct Applied {
    config: Config,
    settings: Settings,
    sources: Vec<Source>,
    network: Network,
}

impl Reloading {
    /// The state after a start.
    pub(super) fn new(
        overrides: Overrides,
        loaded: Loaded,
        sources: Vec<Source>,
        network: Network,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            overrides,
            supervisor,
            current: Applied::new(loaded, sources, network),
        }
    }

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
        let secrets = self.current.changed_secrets(&new);
        for source in &mut new.sources {
            let mut old = self.current.sources.iter();
            if let Some(old) = old.find(|old| old.same_config(source)) {
                source.continue_from(old);
            }
        }
        let reloaded = reloader.reload(NewConfig {
            config: new.config.clone(),
            sources: new.sources.clone(),
            network: new.network.clone(),
        });
        reloaded.await.map_err(|error| error.to_string())?;
        telemetry::set_level(&new.config.log);
        self.current.log_changes(&new, secrets);
        self.current = new;
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
        let network = if loaded.config.upstream_tls == old.config.upstream_tls {
            old.network.clone()
        } else {
            network(&loaded.config).map_err(|error| error.to_string())?
        };
        credentials::start(&mut sources, &network)
            .await
            .map_err(|errors| Failure::no_credentials(errors).message)?;
        Ok(Applied::new(loaded, sources, network))
    }
}

impl Applied {
    /// A configuration that was just loaded.
    fn new(loaded: Loaded, sources: Vec<Source>, network: Network) -> Self {
        Self {
            config: loaded.config,
            settings: loaded.settings,
            sources,
            network,
        }
    }

    /// Logs the names of what has changed.
    fn log_changes(&self, new: &Self, secrets: Vec<String>) {
        let (ignored, mut changed): (Vec<String>, Vec<String>) = new
            .settings
            .changed_since(&self.settings)
            .into_iter()
            .partition(|key| needs_restart(key));
        if !ignored.is_empty() {
            tracing::warn!("{} take effect at the next start only", ignored.join(", "));
        }
        // A file may have changed although the key that names it has not.
        let (old_tls, new_tls) = (&self.config.upstream_tls, &new.config.upstream_tls);
        let token_changed = self.config.access.token != new.config.access.token;
        let inspector_token = |config: &Config| {
            let token = config.inspect.token.as_ref();
            token.map(|token| CallerToken::new(token.expose_secret().as_bytes()))
        };
        let (old_token, new_token) = (inspector_token(&self.config), inspector_token(&new.config));
        for (key, has_changed) in [
            ("access.token_file", token_changed),
            ("inspect.token_file", old_token != new_token),
            (
                "upstream_tls.ca_file",
                old_tls.extra_roots != new_tls.extra_roots,
            ),
        ] {
            if has_changed && !changed.iter().any(|known| known == key) {
                changed.push(format!("the content of {key}"));
            }
        }
        changed.extend(secrets);
        if changed.is_empty() {
            tracing::info!("reloaded, nothing has changed");
        } else {
            tracing::info!("reloaded, changed: {}", changed.join(", "));
        }
    }

    /// The names of the secrets that differ in `new`.
    fn changed_secrets(&self, new: &Self) -> Vec<String> {
        let name = |source: &Source| {
            let status = source.slot().status();
            format!("the {} of credentials {}", status.kind, status.label)
        };
        let has_changed = |source: &&Source| {
            let old = self.sources.iter().find(|old| name(old) == name(source));
            let both = old.and_then(|old| old.slot().current().zip(source.slot().current()));
            both.is_some_and(|(old, new)| !old.is_same_secret(&new))
        };
        new.sources.iter().filter(has_changed).map(name).collect()
    }
}

/// True if a key is applied only at startup.
fn needs_restart(key: &str) -> bool {
    ["admin", "log.format"].contains(&key) || key.starts_with("unix_socket.")
}
