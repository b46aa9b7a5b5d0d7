//! `apig-proxy gateway`: the emulated gateway alone, with keys that live as long as it does.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use secrecy::ExposeSecret;

use super::signals::Signals;
use super::{Exit, fail};
use crate::clock;
use crate::config::Environment;
use crate::credentials::Credentials;
use crate::emulator::{Emulator, Now};

/// Arguments of `gateway`.
#[derive(Debug, Args)]
pub struct GatewayArguments {
    /// Loopback address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Folder for credentials.csv, ca.pem and a configuration that uses them [default: a new one that is removed at the end].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
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
    let key = throw_away_key();
    let emulator = match Emulator::bind(arguments.listen, std::slice::from_ref(&key), now()) {
        Ok(emulator) => emulator,
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
        .write(&emulator, &key)
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

/// A key that no account has.
pub(super) fn throw_away_key() -> Credentials {
    let draw = |length: usize, of: fn() -> char| -> String {
        std::iter::repeat_with(of).take(length).collect()
    };
    let capital = || {
        if fastrand::bool() {
            fastrand::uppercase()
        } else {
            fastrand::digit(10)
        }
    };
    Credentials {
        access_key: draw(20, capital),
        secret_key: draw(40, fastrand::alphanumeric).into(),
        security_token: None,
    }
}

/// The machine's time, for an emulator.
pub(super) fn now() -> Now {
    Arc::new(clock::unix_seconds)
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
    let config = folder.join("apig-proxy.toml");
    writeln!(
        io::stdout(),
        "gateway on https://{} (verifies signatures, stage, time and size)\n\
         key in {}, root in {}\n\
         start a proxy before it, in another terminal:\n  apig-proxy --config {}",
        emulator.address(),
        folder.join("credentials.csv").display(),
        folder.join("ca.pem").display(),
        config.display(),
    )
}

/// Where a caller finds what it needs.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Whether it is the command's own, and is removed with it.
    own: bool,
}

impl Folder {
    fn prepare(named: Option<&Path>, environment: &Environment) -> io::Result<Self> {
        let (path, own) = match named {
            Some(path) => (path.to_owned(), false),
            None => {
                let temporary = environment.path("TMPDIR").unwrap_or_else(|| "/tmp".into());
                (
                    temporary.join(format!("apig-proxy-gateway-{:08x}", fastrand::u32(..))),
                    true,
                )
            }
        };
        // A folder of one's own must not be somebody else's that was put there before.
        DirBuilder::new()
            .recursive(!own)
            .mode(0o700)
            .create(&path)?;
        Ok(Self { path, own })
    }

    fn write(&self, emulator: &Emulator, key: &Credentials) -> io::Result<()> {
        let address = emulator.address();
        let csv = format!(
            "User Name,Access Key Id,Secret Access Key\n\"demo\",{},{}\n",
            key.access_key,
            key.secret_key.expose_secret()
        );
        let config = format!(
            "upstream = \"https://{address}\"\n\n[credentials]\nfile = \"credentials.csv\"\n\n[upstream_tls]\nca_file = \"ca.pem\"\n"
        );
        // New files only: a folder may hold a credentials.csv that somebody needs.
        for (name, content) in [
            ("credentials.csv", csv),
            ("ca.pem", emulator.root_pem()),
            ("apig-proxy.toml", config),
        ] {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(self.path.join(name))?;
            file.write_all(content.as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            // What is left behind is of no use to anybody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
