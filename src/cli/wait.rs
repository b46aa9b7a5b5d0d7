//! `apig-proxy wait`: waits until a proxy is ready, for programs that start beside one and need it.

use std::time::Duration;

use clap::Args;

use super::admin_client::{AdminArguments, READY, poll};
use super::{Exit, Failure, Outcome, block_on, parse_duration};
use crate::config::Environment;

#[derive(Clone, Debug, Args)]
pub(super) struct WaitArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Waits until the proxy is ready.
pub(super) fn run(arguments: &WaitArguments, environment: &Environment) -> Outcome {
    let address = arguments.admin.address(environment)?;
    let ready = block_on(poll(READY, &address, arguments.timeout, Result::is_ok))?;
    ready.map_err(|error| Failure::failed(format_args!("not ready in time: {error}")))?;
    Ok(Exit::Ok)
}
