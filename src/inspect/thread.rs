//! The inspector's thread: it owns the store, takes the notes of the workers in, and answers the API.
//!
//! It has a runtime of its own, so that a busy page delays neither workers nor health checks. It
//! lives until the program ends. While the inspector is off it waits and keeps nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::{io, thread};

use http::Response;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::answer::ApiBody;
use super::api::{self, ApiRequest};
use super::program::Program;
use super::recorder::{Notes, Recorder};
use super::served::Served;
use crate::config::InspectConfig;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Answer a request.
    Answer(ApiRequest, oneshot::Sender<Response<ApiBody>>),
    /// Use this configuration from now on.
    Configure(InspectConfig),
}

/// Starts the thread, which ends with the last handle to it.
pub(super) fn start(
    program: Arc<dyn Program>,
    recorder: Arc<Recorder>,
    notes: Notes,
    config: InspectConfig,
    commands: UnboundedReceiver<Command>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("inspector".to_owned());
    let spawned = thread.spawn(move || {
        let mut builder = Builder::new_current_thread();
        // The runtime cannot move between threads, so it is built here.
        match builder.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let served = Rc::new(Served::new(program, recorder, config));
                runtime.block_on(run(served, notes, commands));
            }
            Err(error) => tracing::error!(%error, "the inspector could not be started"),
        }
    });
    spawned.map(drop)
}

async fn run(served: Rc<Served>, mut notes: Notes, mut commands: UnboundedReceiver<Command>) {
    loop {
        tokio::select! {
            Some(batch) = notes.next() => served.apply(batch),
            command = commands.recv() => match command {
                // Who has asked may be gone.
                Some(Command::Answer(_, answer)) if answer.is_closed() => {}
                Some(Command::Answer(request, answer)) => drop(answer.send(api::answer(&served, &request))),
                Some(Command::Configure(config)) => served.configure(config),
                None => return,
            },
        }
    }
}
