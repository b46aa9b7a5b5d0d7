//! The inspector of this server. A reload can turn it on and off.
//!
//! Its recorder and its thread are created when it is first enabled, so that a proxy without it has
//! neither. A generated token stays the same until the process ends, so an open page works again
//! when the inspector is turned on again.
//!
//! # What can go wrong
//!
//! A thread cannot be started, or the file with the token cannot be written. Requests are served
//! all the same, and the log says what does not work.

use std::io::{IsTerminal, stderr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::watch;

use super::accept::{Accepted, Admission};
use crate::config::{InspectConfig, Listen, ListenRules};
use crate::inspect::Inspector;
use crate::inspect::program::{Program, Replay};
use crate::inspect::recorder::{Notes, Recorder};
use crate::inspect::token::{Token, TokenFile, file_in};
use crate::proxy::Settings;
use crate::telemetry;

/// The inspector and what it needs.
#[derive(Debug)]
pub(super) struct Inspection {
    config: InspectConfig,
    /// Where the inspector is served.
    admin: Option<Listen>,
    /// The folder of the file with the token; `None` to write none.
    pub(super) folder: Option<PathBuf>,
    pub(super) recorder: Option<Arc<Recorder>>,
    /// The notes of the recorder, until the thread takes them.
    notes: Option<Notes>,
    /// Used unless the configuration has one.
    generated_token: Token,
    /// The address of the page was shown.
    is_shown: bool,
    token_file: Option<TokenFile>,
    /// It was on when the configuration was last applied.
    is_on: bool,
    pub(super) inspector: watch::Sender<Option<Inspector>>,
}

impl Inspection {
    pub(super) fn new(config: &InspectConfig, admin: Option<Listen>) -> Self {
        let mut inspection = Self {
            config: config.clone(),
            admin,
            folder: None,
            recorder: None,
            notes: None,
            generated_token: Token::random(),
            is_shown: false,
            token_file: None,
            is_on: false,
            inspector: watch::Sender::default(),
        };
        inspection.prepare(config);
        inspection
    }

    /// The address of the page, which is not shown again; `None` if there is none.
    pub(super) fn show(&mut self) -> Option<SecretString> {
        let admin = self.admin.as_ref()?.address()?;
        self.is_shown = true;
        self.config.enabled.then(|| self.token().page(admin))
    }

    /// Takes a configuration, and creates the recorder if this is the first that needs one.
    pub(super) fn prepare(&mut self, config: &InspectConfig) {
        if config.enabled && self.recorder.is_none() {
            let (recorder, notes) = Recorder::new(config.bodies, &config.reveal);
            (self.recorder, self.notes) = (Some(recorder), Some(notes));
        }
        self.config = config.clone();
    }

    /// Applies the configuration of [`Self::prepare`] in a server that runs.
    pub(super) fn apply(
        &mut self,
        settings: &watch::Sender<Arc<Settings>>,
        admission: &Arc<Admission>,
    ) {
        let token = self.token();
        if let Some(inspector) = &*self.inspector.borrow() {
            inspector.configure(&self.config, token.clone());
        }
        if let Some((recorder, notes)) = self.recorder.clone().zip(self.notes.take()) {
            let program = Arc::new(Proxy {
                settings: settings.subscribe(),
                admission: Arc::downgrade(admission),
            });
            match Inspector::start(program, (recorder, notes), &self.config, token.clone()) {
                Ok(inspector) => drop(self.inspector.send_replace(Some(inspector))),
                Err(error) => tracing::error!(%error, "the inspector could not be started"),
            }
        }
        self.publish(&token);
    }

    fn token(&self) -> Token {
        match &self.config.token {
            Some(token) => Token::new(token.clone()),
            None => self.generated_token.clone(),
        }
    }

    /// Writes the token where `apig-proxy inspect` finds it, and shows the address of the page when
    /// the inspector is turned on.
    fn publish(&mut self, token: &Token) {
        let was_on = std::mem::replace(&mut self.is_on, self.config.enabled);
        let (Some(folder), Some(admin), true) = (&self.folder, &self.admin, self.is_on) else {
            self.token_file = None;
            return;
        };
        // An earlier file at another path is removed.
        let path = file_in(folder, admin);
        let written = TokenFile::write(&path, token).inspect_err(|error| {
            tracing::warn!(
                %error,
                "the token of the inspector could not be written to {}; `apig-proxy inspect` needs inspect.token_file",
                path.display()
            );
        });
        self.token_file = written.ok();
        if was_on {
            return;
        }
        tracing::info!("the inspector shows requests; run `apig-proxy inspect --admin {admin}`");
        // The address with the token is for a person only: a log is kept, and others may read it.
        let shows_page = stderr().is_terminal() && !self.is_shown;
        if let Some(admin) = admin.address().filter(|_| shows_page) {
            let page = token.page(admin);
            telemetry::print(&format!("inspector  {}\n", page.expose_secret()));
        }
    }
}

/// This server, as the inspector knows it.
struct Proxy {
    settings: watch::Receiver<Arc<Settings>>,
    /// Weak, so that it does not keep the workers from ending.
    admission: Weak<Admission>,
}

impl Program for Proxy {
    fn state(&self) -> Value {
        self.settings.borrow().program_state()
    }

    fn serve(&self, connection: UnixStream, replay: Replay) -> bool {
        let accepted = Accepted::Replay(connection, replay);
        // The token of the inspector stands for a caller's credential.
        let rules = ListenRules {
            route: replay.route,
            requires_caller: false,
        };
        let admission = self.admission.upgrade();
        admission.is_some_and(|admission| admission.try_admit((accepted, rules)))
    }
}
