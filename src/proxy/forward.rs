//! Fourth step: a connection, then the signature, then the request, then the wait for the answer.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::Pipeline;
use super::body::{Progress, RequestBody};
use super::payload::{Prepared, Reply};
use super::sign::{Unanswered, sign};
use crate::error::Error;
use crate::upstream::{Connection, Unsent};

/// A request that was answered: the head is here, the body still to come.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Connection<RequestBody>,
    /// How far the request body is; an answer may come before its end.
    pub(super) progress: Option<Rc<Progress>>,
    pub(super) reply: Reply,
}

/// Sends a request and waits for the head of the answer.
///
/// A request of which nothing was written, because an idle connection turned out to be closed, is
/// signed anew and sent over the next connection. Nothing else is sent twice.
///
/// # Errors
///
/// Any of the upstream's errors, and the caller's if its body ends early.
pub(super) async fn forward(
    pipeline: &Pipeline,
    mut prepared: Prepared,
) -> Result<Exchange, Error> {
    let origin = pipeline.origins[prepared.reply.route];
    loop {
        let mut connection = pipeline.upstream.connection(origin).await?;
        let signed = sign(
            prepared,
            &pipeline.settings.key,
            &pipeline.clock.signing_date(),
        )?;
        let (request, unanswered) = signed.into_parts();
        let progress = request.body().progress();
        let limit = pipeline.settings.timeouts.response;
        match send(&mut connection, request, progress.as_deref(), limit).await {
            Ok(response) => {
                let Unanswered { reply, .. } = unanswered;
                return Ok(Exchange {
                    response,
                    connection,
                    progress,
                    reply,
                });
            }
            // Each turn uses up an idle connection, and a new one ends the loop.
            Err(Failure::Unsent(request, _)) if connection.is_reused() => {
                prepared = unanswered.again(*request);
            }
            Err(Failure::Unsent(_, error)) => return Err(Error::UpstreamReset(error)),
            Err(Failure::Other(error)) => return Err(error),
        }
    }
}

enum Failure {
    /// Nothing of the request was written.
    Unsent(Box<Request<RequestBody>>, hyper::Error),
    Other(Error),
}

async fn send(
    connection: &mut Connection<RequestBody>,
    request: Request<RequestBody>,
    progress: Option<&Progress>,
    limit: Duration,
) -> Result<Response<Incoming>, Failure> {
    let started = Instant::now();
    let mut sending = std::pin::pin!(connection.send(request));
    loop {
        // The limit is for the gateway's answer, so the time in which the body is sent does not count.
        let deadline = progress.map_or(started, |progress| progress.last().max(started)) + limit;
        tokio::select! {
            biased;
            answer = &mut sending => return answer.map_err(|unsent| failure(*unsent, progress)),
            () = sleep_until(deadline) => {
                if progress.is_none_or(|progress| progress.last() + limit <= Instant::now()) {
                    return Err(Failure::Other(Error::ResponseTimeout));
                }
            }
        }
    }
}

/// What it means that a request got no answer.
fn failure(unsent: Unsent<RequestBody>, progress: Option<&Progress>) -> Failure {
    let Unsent { error, request } = unsent;
    if let Some(request) = request {
        return Failure::Unsent(Box::new(request), error);
    }
    if let Some(error) = progress.and_then(Progress::take_failure) {
        return Failure::Other(error);
    }
    let malformed = error.is_parse() || error.is_parse_too_large() || error.is_parse_status();
    Failure::Other(if malformed {
        Error::BadResponse(error)
    } else {
        Error::UpstreamReset(error)
    })
}
