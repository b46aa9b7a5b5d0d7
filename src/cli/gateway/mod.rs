//! `apig-proxy gateway`: the embedded gateway and cloud alone, with secrets that live as long as it runs.

mod exchange;
mod folder;
mod inspector;

use std::io::{self, IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, Outcome, StopSignals, block_on, log_requests, print};
use crate::config::{Environment, Listen};
use crate::emulator::{Accounts, Emulator, Readings};
use folder::Folder;

#[derive(Debug, Args)]
pub(super) struct GatewayArguments {
    /// Loopback address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443", value_parser = loopback_address)]
    listen: SocketAddr,
    /// Folder for keys, tokens, ca.pem and a configuration that uses them; files of an earlier run are replaced
    /// [default: a new one that is removed at the end].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How several slashes in a row in a path are read: "kept", or "merged" into one.
    #[arg(long, value_name = "READING", default_value = "kept", value_parser = ["kept", "merged"])]
    paths: String,
    /// Ignore headers and query pairs beyond the first hundred.
    #[arg(long)]
    first_hundred: bool,
    /// Show what is received, and what becomes of it, in an inspector; its address is printed [default: on a terminal].
    #[arg(long)]
    inspect: bool,
}

/// Runs the gateway until a signal stops it.
pub(super) fn run(arguments: &GatewayArguments, environment: &Environment) -> Outcome {
    let accounts = Accounts::throw_away();
    let emulator = Emulator::bind(arguments.listen, accounts.clone());
    let emulator = emulator.map_err(|error| {
        Failure::failed(format_args!(
            "cannot listen on {}: {error}\nhint: choose another port with `--listen`",
            arguments.listen
        ))
    })?;
    let emulator = emulator.with_readings(Readings {
        merges_slashes: arguments.paths == "merged",
        first_hundred: arguments.first_hundred,
    });
    let folder = Folder::create(arguments.dir.as_deref(), environment).map_err(|error| {
        Failure::failed(format_args!(
            "the folder cannot be created: {error}\nhint: choose another one with `--dir`"
        ))
    })?;
    let _mark = folder.write(&emulator, &accounts).map_err(|error| {
        let path = folder.path.display();
        Failure::failed(format_args!(
            "{path}: {error}\nhint: choose another folder with `--dir`"
        ))
    })?;
    print(announcement(&emulator, &folder.path))?;
    log_requests()?;
    let is_inspected = arguments.inspect || stderr().is_terminal();
    let served = block_on(serve(emulator, &accounts, is_inspected, environment))?;
    served.map_err(|error| Failure::failed(format_args!("the gateway failed: {error}")))?;
    Ok(Exit::Ok)
}

/// Serves until a signal, with an inspector if it is wanted.
async fn serve(
    emulator: Emulator,
    accounts: &Accounts,
    is_inspected: bool,
    environment: &Environment,
) -> io::Result<()> {
    let mut signals = StopSignals::new()?;
    if !is_inspected {
        return emulator.serve(signals.recv()).await;
    }
    inspector::serve(emulator, accounts, environment, signals.recv()).await
}

/// Parses a loopback address as `serve` does: the embedded gateway is for this machine only.
pub(super) fn loopback_address(text: &str) -> Result<SocketAddr, &'static str> {
    match text.parse() {
        Ok(Listen::Tcp(address)) if address.ip().is_loopback() => Ok(address),
        _ => Err("expected a loopback address with a port, like `127.0.0.1:8443`"),
    }
}

/// The addresses, the files, and the command that starts a proxy.
fn announcement(emulator: &Emulator, folder: &Path) -> String {
    format!(
        "gateway on https://{} (verifies signatures, tokens, codes and keys, stage, time and size)\n\
         identity services on http://{} (IAM, STS, metadata, pod identity)\n\
         keys, tokens and root certificate in {}\n\
         start a proxy before it, in another terminal:\n  apig-proxy --config {}",
        emulator.address,
        emulator.cloud_address,
        folder.display(),
        folder.join("apig-proxy.toml").display(),
    )
}
