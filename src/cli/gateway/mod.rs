//! `apig-proxy gateway`: the emulated gateway and cloud alone, with secrets that live as long as they do.

mod folder;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::signals::Signals;
use super::{Exit, fail};
use crate::config::Environment;
use crate::emulator::{Accounts, Backend, Clock, Emulator};
pub(super) use folder::Folder;

/// Arguments of `gateway`.
#[derive(Debug, Args)]
pub struct GatewayArguments {
    /// Loopback address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Folder for keys, tokens, ca.pem and a configuration that uses them [default: a new one that is removed at the end].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Forward verified requests to this server on loopback, such as http://127.0.0.1:8000. gRPC and HTTP/2 requests
    /// reach it over HTTP/2 with prior knowledge, others over HTTP/1.1 [default: answer with what was received].
    #[arg(long, value_name = "URL")]
    backend: Option<Backend>,
}

/// Runs the gateway until it is told to stop.
#[must_use]
pub fn run(arguments: &GatewayArguments, environment: &Environment) -> Exit {
    if !arguments.listen.ip().is_loopback() {
        return fail(
            Exit::Usage,
            "--listen: the emulated gateway is for this machine only; give a loopback address",
        );
    }
    let accounts = Accounts::throw_away();
    let bound = Emulator::bind(arguments.listen, accounts.clone(), Clock::machine());
    let emulator = match bound {
        Ok(emulator) => emulator.with_backend(arguments.backend),
        Err(error) => {
            let what = format!(
                "cannot listen on {}: {error}; choose another port with --listen",
                arguments.listen
            );
            return fail(Exit::Failed, what);
        }
    };
    let folder = match Folder::prepare(arguments.dir.as_deref(), environment) {
        Ok(folder) => folder,
        Err(error) => {
            return fail(
                Exit::Failed,
                format_args!("--dir: a folder cannot be made: {error}"),
            );
        }
    };
    if let Err(error) = folder
        .write(&emulator, &accounts)
        .and_then(|()| announce(&emulator, &folder.path))
    {
        return fail(
            Exit::Failed,
            format_args!(
                "{}: {error}; choose another folder with --dir",
                folder.path.display()
            ),
        );
    }
    serve(emulator)
}

fn serve(emulator: Emulator) -> Exit {
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            runtime.block_on(async {
                let mut signals = Signals::new()?;
                emulator.serve(signals.next()).await
            })
        });
    match served {
        Ok(()) => Exit::Ok,
        Err(error) => fail(Exit::Failed, format_args!("the gateway failed: {error}")),
    }
}

fn announce(emulator: &Emulator, folder: &Path) -> io::Result<()> {
    let in_folder = |name: &str| folder.join(name).display().to_string();
    writeln!(
        io::stdout(),
        "gateway on https://{} (verifies signatures, tokens, codes and keys, stage, time and size)\n\
         identity services on http://{} (IAM, STS, metadata, pod identity)\n\
         key in {}, root in {}\n\
         for other ways to authenticate: app.csv, app_code, api_key, iam_*, pod_token, id_token, and {}\n\
         start a proxy before it, in another terminal:\n  apig-proxy --config {}",
        emulator.address(),
        emulator.cloud_address(),
        in_folder("credentials.csv"),
        in_folder("ca.pem"),
        in_folder("identity.env"),
        in_folder("apig-proxy.toml"),
    )
}
