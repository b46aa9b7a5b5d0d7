//! What of a request is needed until its answer is relayed.

use std::rc::Rc;

use crate::http1::Interim;
use crate::telemetry::metrics::Flight;

/// To whom and how an answer is relayed.
#[derive(Debug)]
pub(super) struct Reply {
    /// Index of the route.
    pub(super) route: usize,
    /// The `Host` by which the caller called.
    pub(super) host: String,
    /// Whether the caller called over TLS.
    pub(super) is_secure: bool,
    /// The listed origin of the web page that called.
    pub(super) origin: Option<String>,
    /// Whether the request was HEAD, so that the answer has no body.
    pub(super) to_head: bool,
    /// Whether the caller said that it takes trailers.
    pub(super) takes_trailers: bool,
    /// Where interim answers go, if the caller knows them.
    pub(super) interim: Option<Interim>,
    /// What it is counted and recorded by.
    pub(super) flight: Rc<Flight>,
}
