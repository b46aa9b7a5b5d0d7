//! `apig-proxy wait`: until a proxy takes requests. For whatever starts beside one and needs it.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::ask::{Question, ask_within};
use super::running::{RunningArguments, pause, time};
use super::{Exit, fail};
use crate::config::Environment;

/// How often it is asked.
const AGAIN: Duration = Duration::from_millis(100);

/// Arguments of `wait`.
#[derive(Clone, Debug, Args)]
pub struct WaitArguments {
    #[command(flatten)]
    running: RunningArguments,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
}

/// Waits until the proxy is ready.
#[must_use]
pub fn run(arguments: &WaitArguments, environment: &Environment) -> Exit {
    let address = match arguments.running.address(environment) {
        Ok(address) => address,
        Err(exit) => return exit,
    };
    let begun = Instant::now();
    loop {
        let left = arguments.timeout.saturating_sub(begun.elapsed());
        match ask_within(&address, Question::Ready, left) {
            Ok(()) => return Exit::Ok,
            Err(error) if begun.elapsed() >= arguments.timeout => {
                return fail(Exit::Failed, format_args!("not ready in time: {error}"));
            }
            Err(_) => pause(AGAIN.min(left)),
        }
    }
}
