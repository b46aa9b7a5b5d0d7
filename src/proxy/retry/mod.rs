//! Third step: a connection, then attempts over it, until one is answered for good.
//!
//! A request is sent again, over a new connection with a new signature, if it cannot have been
//! executed, which its [`Retry`] says. It is also signed again with the gateway's time if the
//! gateway refused its date, in the gateway's reading of the path, or with a new token if the gateway
//! refused the old one. A body that is streamed is gone then, so such a request is sent once.

mod after_response;
mod attempt;

use std::pin::pin;
use std::rc::Rc;

use super::Pipeline;
use super::auth::UsableCredential;
use super::body::RequestBody;
use super::context::RequestContext;
use super::double_slashes::LearnedReading;
use super::gateway_response::GatewayResponse;
use super::key_breaker::Permits;
use super::prepare::Prepared;
use crate::clock::Moment;
use crate::error::{Error, Retry};
use crate::gateway::GatewayClock;
use crate::signature::SigningDate;
use crate::upstream::{Connection, Mode, Reuse};

/// How many credentials may expire while one request waits to be sent. Its attempts are fewer in any case:
/// a first one, two after lost connections, and one for each correction.
const MAX_EXPIRED: usize = 3;

/// Sends a request, with retries, and returns the response. Dropping the future closes the connection
/// that the request was sent over.
pub(super) async fn send(
    pipeline: &Pipeline,
    prepared: &mut Prepared,
) -> Result<GatewayResponse, Error> {
    let context = &*Rc::clone(&prepared.routed.context);
    let mut attempts = Attempts {
        pipeline,
        context,
        prepared,
        reason: AttemptReason::First,
        failures: 0,
        corrected: Vec::new(),
        untried: None,
    };
    attempts.set_project_id().await;
    let mode = attempts.prepared.mode();
    let mut connection = attempts.acquire(Reuse::Any, mode).await?;
    let mut expiries = 0..MAX_EXPIRED;
    loop {
        // Not before the connection is there, which may take its time.
        let credential = attempts.usable(None).await?;
        let permits = attempts.permits(&credential).await?;
        // The wait for the permits may be longer than its lifetime.
        if !credential.lease.is_good_now() {
            expiries.next().ok_or(Error::NoCredentials)?;
            continue;
        }
        let answered = match attempts.send(&credential, connection).await {
            Ok(answered) => answered,
            Err(error) => {
                let mode = attempts.next_mode(error)?;
                connection = attempts.acquire(Reuse::Fresh, mode).await?;
                continue;
            }
        };
        if !attempts.repeats(&credential, permits, &answered).await {
            return Ok(attempts.explained(&credential, answered));
        }
        if let Some(connection) = answered.reply.body.connection {
            connection.release();
        }
        connection = attempts.acquire(Reuse::Any, mode).await?;
    }
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptReason {
    First,
    /// The connection ended, and the request cannot have been executed.
    Connection,
    /// The gateway refused the date of the signature.
    Date,
    /// The gateway read the path differently.
    Path,
    /// The gateway refused the token, app code or API key, or the credential expired.
    Credential,
}

impl AttemptReason {
    /// Its name in the inspector.
    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Connection => "connection",
            Self::Date => "date",
            Self::Path => "path",
            Self::Credential => "credential",
        }
    }
}

/// The attempts of one request, and what they have learned.
struct Attempts<'a> {
    pipeline: &'a Pipeline,
    context: &'a RequestContext,
    prepared: &'a mut Prepared,
    /// Why the next one is made.
    reason: AttemptReason,
    /// Attempts whose connection ended.
    failures: usize,
    /// What was corrected, once each.
    corrected: Vec<AttemptReason>,
    /// What was learned from the last refusal and is not tried.
    untried: Option<AttemptReason>,
}

/// A response, and when its request was signed and the response came.
struct Answered {
    reply: GatewayResponse,
    date: SigningDate,
    sent: Moment,
    received: Moment,
}

impl<'a> Attempts<'a> {
    async fn acquire(&self, reuse: Reuse, mode: Mode) -> Result<Connection<RequestBody>, Error> {
        let origin = self.pipeline.origins[self.prepared.routed.route];
        let acquiring = self.pipeline.upstream.acquire(origin, reuse, mode);
        self.context.waited(pin!(acquiring)).await
    }

    /// A credential that is not the refused one. Waits for another one if need be.
    async fn usable(
        &self,
        refused: Option<&UsableCredential>,
    ) -> Result<Rc<UsableCredential>, Error> {
        let slot = self.prepared.routed.slot;
        let usable = self.pipeline.credentials.usable(slot, refused);
        self.context.waited(pin!(usable)).await
    }

    /// Sets the project of a service, unless the caller has named one.
    async fn set_project_id(&mut self) {
        let routed = &mut self.prepared.routed;
        let route = self.pipeline.settings.route(routed.route);
        if routed.project_id.is_none() && route.service.is_some() {
            let asking = self.pipeline.project_id(routed.route, routed.slot);
            routed.project_id = self.context.waited(pin!(asking)).await;
        }
    }

    async fn permits<'c>(&self, credential: &'c UsableCredential) -> Result<Permits<'c>, Error>
    where
        'a: 'c,
    {
        let permits = async {
            let is_signed = credential.key.is_some();
            let paths = match self.path() {
                Some(path) if is_signed => Some(path.breaker.permit().await?),
                _ => None,
            };
            let key = credential.permit().await?;
            Ok(Permits { key, paths })
        };
        self.context.waited(pin!(permits)).await
    }

    /// What is known of the gateway's reading, for a path that it may read differently.
    fn path(&self) -> Option<&'a LearnedReading> {
        let state = &self.pipeline.settings.route_states[self.prepared.routed.route];
        (self.prepared.has_ambiguous_path).then(|| &*state.path_reading)
    }

    fn clock(&self) -> &'a GatewayClock {
        self.pipeline.gateway_clock(self.prepared.routed.route)
    }

    /// The date that an attempt is signed with: the time of this machine, corrected by what the
    /// gateway told.
    fn signing_date(&self) -> SigningDate {
        let correction = self.clock().correction();
        self.pipeline.clock.signing_date(correction)
    }

    /// Which connection the next attempt has, or the error if there is no other attempt: one is
    /// made, or two if the gateway has not looked at the request, since a gateway that goes away
    /// ends all shared connections, one after the other.
    fn next_mode(&mut self, error: Error) -> Result<Mode, Error> {
        let most = match error.answer().retry {
            Retry::Always => 2,
            Retry::IfIdempotent if self.prepared.routed.head.method.is_idempotent() => 1,
            Retry::IfIdempotent | Retry::Never => 0,
        };
        self.failures += 1;
        if self.failures > most || !self.prepared.body.is_repeatable() {
            return Err(error);
        }
        self.reason = AttemptReason::Connection;
        // The last attempt has a connection of its own, which no other request can end.
        Ok(match self.prepared.mode() {
            Mode::Shared if self.failures > 1 => Mode::Exclusive,
            mode => mode,
        })
    }
}
