//! `apig-proxy quit`: asks a proxy to finish and end. For Jobs, whose pod ends when the last container
//! does: what the Job runs says so when it is done.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::ask::{AskError, Question, ask, ask_within};
use super::running::{RunningArguments, pause, time};
use super::{Exit, fail};
use crate::config::Environment;

/// How often it is looked whether the proxy is still there.
const AGAIN: Duration = Duration::from_millis(50);

/// Arguments of `quit`.
#[derive(Clone, Debug, Args)]
pub struct QuitArguments {
    #[command(flatten)]
    running: RunningArguments,
    /// Wait until it has ended, so long at most [default: do not wait].
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
}

/// Asks the proxy to stop, and waits for that if it is wanted.
#[must_use]
pub fn run(arguments: &QuitArguments, environment: &Environment) -> Exit {
    let address = match arguments.running.address(environment) {
        Ok(address) => address,
        Err(exit) => return exit,
    };
    if let Err(error) = ask(&address, Question::Quit) {
        return fail(Exit::Failed, format_args!("it was not stopped: {error}"));
    }
    let Some(timeout) = arguments.timeout else {
        return Exit::Ok;
    };
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        let left = timeout.saturating_sub(begun.elapsed());
        // Its own answers end with its sockets; another program may take the address at once.
        match ask_within(&address, Question::Live, left) {
            Err(AskError::Unreachable(..) | AskError::Stranger(_)) => return Exit::Ok,
            Ok(()) | Err(_) => pause(AGAIN.min(left)),
        }
    }
    fail(
        Exit::Failed,
        "it was asked to stop, and has not ended in time; requests may still run, see timeouts.shutdown",
    )
}
