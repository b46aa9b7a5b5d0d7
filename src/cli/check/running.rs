//! `apig-proxy check live` and `check ready`: ask a proxy that runs. For probes in an image that has
//! nothing but this program.

use std::io::Write;

use super::super::ask::{Question, ask};
use super::super::running::RunningArguments;
use super::super::{Exit, fail};
use crate::config::Environment;

/// Asks the proxy.
pub(super) fn run(
    arguments: &RunningArguments,
    question: Question,
    environment: &Environment,
) -> Exit {
    let address = match arguments.address(environment) {
        Ok(address) => address,
        Err(exit) => return exit,
    };
    match ask(&address, question) {
        Ok(()) => match writeln!(std::io::stdout(), "{question}") {
            Ok(()) => Exit::Ok,
            Err(_) => Exit::Failed,
        },
        Err(error) => fail(Exit::Failed, format_args!("not {question}: {error}")),
    }
}
