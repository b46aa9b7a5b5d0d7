//! A proxy that runs: where `check live`, `check ready`, `wait` and `quit` find it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::{Exit, fail};
use crate::config::{self, AdminAddress, Environment, Overrides};

/// Which proxy is meant.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArguments {
    /// Configuration file of the proxy [default: as for serve].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of its health and metrics, or unix:/path [default: that of the configuration, or 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

impl RunningArguments {
    /// The address of its admin listener. What is wrong is said, and gives the exit code.
    pub(super) fn address(&self, environment: &Environment) -> Result<AdminAddress, Exit> {
        let overrides = Overrides::new(self.config.clone());
        let overrides = overrides.text("admin", "--admin", self.admin.as_deref());
        match config::load_part(&overrides, environment, "admin", |config| config.admin) {
            Ok(Some(address)) => Ok(address),
            Ok(None) => {
                let off = "admin is off in the configuration, so there is nobody to ask; give it an address, or name one with --admin";
                Err(fail(Exit::Configuration, off))
            }
            Err(problems) => Err(fail(Exit::Configuration, problems)),
        }
    }
}

/// Reads a time of an option.
pub(super) fn time(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse::<SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.ok_or("expected a time, like \"30s\" or \"2m\"")
}

/// Waits before somebody is asked again.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
