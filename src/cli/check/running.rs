//! `apig-proxy check live` and `check ready`: ask a proxy that runs. For probes in an image that has
//! nothing but this program.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::super::{Exit, fail};
use crate::admin::{Question, ask};
use crate::config::{self, Environment, Overrides};

/// Arguments of `check live` and `check ready`.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArguments {
    /// Configuration file of the proxy [default: as for serve].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of its health and metrics [default: that of the configuration, or 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

/// Asks the proxy.
pub(super) fn run(
    arguments: &RunningArguments,
    question: Question,
    environment: &Environment,
) -> Exit {
    let overrides = Overrides::of(arguments.config.clone()).text(
        "admin",
        "--admin",
        arguments.admin.as_deref(),
    );
    let address = match config::load_admin(&overrides, environment) {
        Ok(Some(address)) => address,
        Ok(None) => {
            let off = "admin is off in the configuration, so there is nobody to ask; give it an address, or name one with --admin";
            return fail(Exit::Configuration, off);
        }
        Err(problems) => return fail(Exit::Configuration, problems),
    };
    match ask(address, question) {
        Ok(()) => match writeln!(std::io::stdout(), "{question}") {
            Ok(()) => Exit::Ok,
            Err(_) => Exit::Failed,
        },
        Err(error) => fail(Exit::Failed, format_args!("not {question}: {error}")),
    }
}
