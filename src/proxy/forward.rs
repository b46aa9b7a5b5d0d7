//! Runs a request through all steps.

use std::pin::pin;
use std::rc::Rc;

use http::{Request, Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{self, BodyReader, ResponseBody};
use super::caller::CallerConnection;
use super::callers::CallerCredential;
use super::context::RequestContext;
use super::guard::Purpose;
use super::prepare::Prepared;
use super::{Pipeline, capture, cors, relay, respond, retry, route, websocket};
use crate::error::Error;

impl Pipeline {
    /// Answers a request. An error becomes a response, and the rest of a body is discarded.
    pub(super) async fn serve(
        &self,
        request: Request<Incoming>,
        caller: Rc<CallerConnection>,
    ) -> Response<ResponseBody> {
        let (mut head, body) = request.into_parts();
        // First of all: what identifies a caller is a secret, which must not get into the log.
        let credential = match &self.settings.caller_gate {
            Some(_) => CallerCredential::take(&mut head),
            None => CallerCredential::None,
        };
        let (metrics, length) = (Rc::clone(&self.metrics), body.size_hint().exact());
        let context = RequestContext::begin(metrics, caller, Some(&head), length);
        let mut body = Some(body);
        capture::begin(self, &head, &context);
        let response = {
            // Pinned where it is made: it is several KiB long, and moving it would copy all of it.
            let forwarding = pin!(self.forward(head, credential, &mut body, &context));
            respond::respond(&context, forwarding).await
        };
        if let Some(body) = body {
            body::discard(body, &context);
        }
        response
    }

    /// Runs a request through all steps.
    async fn forward(
        &self,
        head: request::Parts,
        credential: CallerCredential,
        body: &mut Option<Incoming>,
        context: &Rc<RequestContext>,
    ) -> Result<Response<ResponseBody>, Error> {
        let settings = &*self.settings;
        if let Some(preflight) = self.admit(credential, &head, context)? {
            return Ok(preflight);
        }
        let routed = route::route(settings, head, context)?;
        if context.length != Some(0) {
            capture::routed(settings, &routed, None);
        }
        let reader = BodyReader {
            settings,
            routed: &routed,
            body,
        };
        let (held, hash) = reader.prepare().await?;
        *body = None;
        if let (Some(caller), Some(gate)) = (context.identified.get(), &settings.caller_gate) {
            let algorithm = settings.route(routed.route).signing.algorithm();
            let known = hash.map(|hash| (hash, algorithm));
            gate.check_body(caller, &routed.head, &held, known)?;
        }
        capture::routed(settings, &routed, hash.as_ref());
        let mut prepared = Prepared::new(settings, routed, held, hash);
        let reply = retry::send(self, &mut prepared).await?;
        context.relayed(&reply.head, reply.is_of_gateway());
        if reply.head.status == StatusCode::SWITCHING_PROTOCOLS {
            let idle = settings.idle_timeout(prepared.routed.route);
            return websocket::switch(reply, idle, context).await;
        }
        Ok(relay::relay(settings, &prepared.routed, reply))
    }

    /// Runs the guard, and identifies the caller where callers are known. A CORS preflight is
    /// answered here.
    fn admit(
        &self,
        credential: CallerCredential,
        head: &request::Parts,
        context: &RequestContext,
    ) -> Result<Option<Response<ResponseBody>>, Error> {
        let guarded = self.guard(head, context);
        // Unknown callers do not learn which services there are.
        if matches!(guarded, Ok(None) | Err(Error::Service(_))) {
            let settings = &self.settings;
            let identified = match &settings.caller_gate {
                Some(gate) => gate.identify(credential, head, &settings.metrics, context),
                // The connection may be older than a reload.
                None if context.caller.rules.requires_caller => Err(Error::CallerRequired),
                None => Ok(()),
            };
            identified.inspect_err(|_| context.caller.refused())?;
        }
        guarded
    }

    /// Runs the guard. CORS preflight requests are answered here.
    fn guard(
        &self,
        head: &request::Parts,
        context: &RequestContext,
    ) -> Result<Option<Response<ResponseBody>>, Error> {
        let guard = &self.settings.guard;
        let purpose = if cors::is_preflight(head) {
            Purpose::Preflight
        } else {
            Purpose::Forward
        };
        let check = |purpose| guard.check(purpose, context.caller.listener, head);
        let checked = check(purpose);
        // A page whose preflight passes may read that it needs a token.
        let page = match &checked {
            Err(Error::TokenRequired) => check(Purpose::Preflight).ok(),
            checked => checked.as_ref().ok().copied(),
        };
        if let Some(page) = page {
            context.called_by(&page);
        }
        checked.inspect_err(|_| context.caller.refused())?;
        match context.origin.get() {
            Some(origin) if purpose == Purpose::Preflight => {
                cors::preflight(&self.settings, &head.headers, origin).map(Some)
            }
            _ => Ok(None),
        }
    }
}
