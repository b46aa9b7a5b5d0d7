//! The command line: one file per subcommand. Data goes to standard output, everything else to
//! standard error. This is the only room that prints.
//!
//! No option ever takes a secret: other users of the machine can read a command line.

mod announce;
mod ask;
pub mod check;
pub mod demo;
mod described;
pub mod gateway;
mod key;
mod load;
pub mod memory;
pub mod quit;
mod reload;
mod running;
pub mod serve;
pub mod sign;
mod signals;
mod url;
pub mod verify;
pub mod wait;

use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Environment;
use crate::escape::EscapedLines;
use crate::telemetry::{self, FlushOnDrop};

/// Signs requests for Huawei Cloud API Gateway, so that programs need neither an SDK nor the secret key.
///
/// Send unsigned HTTP to this proxy on localhost; it signs each request with your AK/SK and forwards
/// it to the gateway over TLS.
#[derive(Debug, Parser)]
#[command(
    name = "apig-proxy",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
#[command(after_help = "Without a command, the proxy is served.\n\n\
    Try it without an account:  apig-proxy demo\n\
    Your own gateway:           apig-proxy --upstream https://<id>.apig.<region>.huaweicloudapis.com \
    --credentials credentials.csv")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (what is done without a command).
    Serve(serve::ServeArguments),
    /// Show it all on this machine: an embedded gateway, the proxy before it, and requests through both.
    Demo(demo::DemoArguments),
    /// Run the embedded gateway alone: it verifies signatures as API Gateway does.
    Gateway(gateway::GatewayArguments),
    /// Sign one request and print it, without sending it.
    Sign(sign::SignArguments),
    /// Say whether a signed request verifies, and what differs if not.
    Verify(verify::VerifyArguments),
    /// Check something before it is relied upon.
    Check(check::CheckArguments),
    /// Wait until a proxy takes requests, as its admin listener says.
    Wait(wait::WaitArguments),
    /// Ask a proxy to finish running requests and end, at its admin listener.
    Quit(quit::QuitArguments),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// It failed while it ran.
    Failed = 1,
    /// The arguments are wrong (`EX_USAGE`).
    Usage = 64,
    /// Configuration or credentials are wrong (`EX_CONFIG`).
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The definition of the command line, for man pages.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with these arguments.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = error.print();
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return if asked { Exit::Ok } else { Exit::Usage };
        }
    };
    let _last_lines = FlushOnDrop;
    let environment = Environment::from_env();
    match arguments.command {
        None => serve::run(&arguments.serve, environment),
        Some(Command::Serve(serve)) => serve::run(&serve, environment),
        Some(Command::Demo(demo)) => demo::run(&demo, &environment),
        Some(Command::Gateway(gateway)) => gateway::run(&gateway, &environment),
        Some(Command::Sign(sign)) => sign::run(&sign, &environment),
        Some(Command::Verify(verify)) => verify::run(&verify, &environment),
        Some(Command::Check(check)) => check::run(&check, &environment),
        Some(Command::Wait(wait)) => wait::run(&wait, &environment),
        Some(Command::Quit(quit)) => quit::run(&quit, &environment),
    }
}

/// Says on standard error what went wrong, and ends with `exit`.
fn fail(exit: Exit, what: impl Display) -> Exit {
    say(what);
    exit
}

fn say(what: impl Display) {
    telemetry::print(&format!("apig-proxy: {}\n", EscapedLines(what)));
}
