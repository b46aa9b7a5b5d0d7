//! How a running server is given another configuration.

use tokio::sync::{mpsc, oneshot};

use super::setup::SetupError;
use crate::config::Config;
use crate::credentials::Supply;
use crate::upstream::Network;

/// Changes the configuration of a running server.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Reload>);

/// The configuration of a server from a reload on.
#[derive(Debug)]
pub struct NewConfig {
    /// The configuration.
    pub config: Config,
    /// The sources of the credentials that its routes need.
    pub supplies: Vec<Supply>,
    /// The network; the same one if nothing about it has changed, so that connections are kept.
    pub network: Network,
}

/// A requested reload, and where its outcome is sent.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) new: NewConfig,
    pub(super) outcome: oneshot::Sender<Result<(), SetupError>>,
}

impl Reloader {
    /// A reloader, and where the server receives its requests.
    pub(super) fn new() -> (Self, mpsc::Receiver<Reload>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Whether the server stops, so that no configuration matters any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_closed()
    }

    /// Replaces the configuration, except for `admin` and `[unix_socket]`, which only a start can change.
    ///
    /// # Errors
    ///
    /// A [`SetupError`] if that is not possible; then the server keeps the old configuration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the outcome unknown.
    pub async fn reload(&self, new: NewConfig) -> Result<(), SetupError> {
        let (outcome, received) = oneshot::channel();
        // If the server does not take it, it is stopping, and no configuration matters any more.
        if self.0.send(Reload { new, outcome }).await.is_err() {
            return Ok(());
        }
        received.await.unwrap_or(Ok(()))
    }
}
