//! `apig-proxy quit`: asks a proxy to drain and stop. The pod of a Kubernetes Job ends when its last
//! container ends, so the program of the Job calls this when it is done.

use std::time::Duration;

use clap::Args;

use super::admin_client::{AdminArguments, AdminError, LIVE, QUIT, ask, poll};
use super::{Exit, Failure, Outcome, block_on, parse_duration};
use crate::config::Environment;

#[derive(Clone, Debug, Args)]
pub(super) struct QuitArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Wait until it has ended, at most this long [default: do not wait].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Asks the proxy to stop, and waits for its end if a timeout is given.
pub(super) fn run(arguments: &QuitArguments, environment: &Environment) -> Outcome {
    let address = arguments.admin.address(environment)?;
    ask(QUIT, &address)?
        .map_err(|error| Failure::failed(format_args!("the proxy was not stopped: {error}")))?;
    if let Some(limit) = arguments.timeout
        && !has_ended(&block_on(poll(LIVE, &address, limit, has_ended))?)
    {
        return Err(Failure::failed(
            "the proxy was asked to stop and has not ended in time\nhint: requests may still run; see `timeouts.shutdown`",
        ));
    }
    Ok(Exit::Ok)
}

/// True if the proxy has stopped. Another program may take the address at once.
fn has_ended(answer: &Result<(), AdminError>) -> bool {
    use AdminError::{OtherProgram, Unreachable};
    matches!(answer, Err(Unreachable(..) | OtherProgram(_)))
}
