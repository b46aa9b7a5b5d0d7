//! What the proxy of the demo is started with.
//!
//! A key is handed over in memory, so that nothing is written. The other secrets are read from files, as a
//! proxy that is meant to stay does it: those that `gateway` leaves in its folder.

use anyhow::Context;

use super::super::gateway::Folder;
use super::auth::Auth;
use crate::cli::load::load;
use crate::config::{self, Config, Environment, Methods, Overrides};
use crate::credentials::{Supply, needs};
use crate::emulator::{Accounts, Emulator};

/// A configuration, where its secrets come from, and the folder with them, which lives as long as this.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) config: Config,
    pub(super) supplies: Vec<Supply>,
    pub(super) folder: Option<Folder>,
}

impl Setting {
    pub(super) fn new(
        auth: Auth,
        emulator: &Emulator,
        accounts: &Accounts,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let mut setting = if auth.is_signature() {
            Self::in_memory(emulator, accounts)?
        } else {
            Self::in_folder(auth, emulator, accounts, environment)?
        };
        setting.config.upstream_tls.extra_roots = vec![emulator.root()];
        setting.config.methods = Methods::Any;
        // Its port is for a proxy that is meant to stay.
        setting.config.admin = None;
        Ok(setting)
    }

    fn in_memory(emulator: &Emulator, accounts: &Accounts) -> anyhow::Result<Self> {
        let config = config::with_upstream(&format!("https://{}", emulator.address()))?;
        let key = accounts.keys.first().context("the demo has no key")?;
        let supply = |need| Supply::fixed(need, "default", key);
        Ok(Self {
            supplies: needs(&config).into_iter().map(supply).collect(),
            config,
            folder: None,
        })
    }

    fn in_folder(
        auth: Auth,
        emulator: &Emulator,
        accounts: &Accounts,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let folder = Folder::prepare(None, environment).context("a folder cannot be made")?;
        folder.write(emulator, accounts)?;
        let file = folder.path.join("apig-proxy.toml");
        let overrides = Overrides::new(Some(file)).text("auth.mode", "--auth", Some(auth.word()));
        // Nothing but the folder counts.
        let (loaded, supplies) = load(&overrides, &Environment::default())?;
        Ok(Self {
            config: loaded.config,
            supplies,
            folder: Some(folder),
        })
    }
}
