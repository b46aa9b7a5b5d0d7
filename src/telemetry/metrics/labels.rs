//! The labels of requests. Each value comes from a fixed set, so no input of a caller becomes a
//! label.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

/// The route label of requests that were answered before a route was found. No prefix equals it.
pub(crate) const NO_ROUTE: &str = "none";

/// The labels of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestLabels {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) code: u16,
    pub(crate) outcome: &'static str,
    /// The caller, where callers are known; else empty, and the label is left out.
    pub(crate) caller: &'static str,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("route", self.route), ("method", self.method)].encode(encoder)?;
        [("code", self.code)].encode(encoder)?;
        [("outcome", self.outcome)].encode(encoder)?;
        let caller = (!self.caller.is_empty()).then_some(("caller", self.caller));
        caller.as_slice().encode(encoder)
    }
}

/// The label of a method; all methods that are not in common use share one.
pub(crate) fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("other")
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The status is below 400.
    Ok,
    /// The service behind the gateway answered with a status from 400 to 499.
    ClientError,
    /// The gateway itself refused the request, or the status is 500 or above.
    GatewayError,
    /// The proxy answered with this error code.
    Proxy(&'static str),
    /// The caller disconnected before the response.
    CallerGone,
    /// The process ended before the response.
    CutOff,
}

impl Outcome {
    /// The outcome of a relayed response; `refused` by the gateway itself or not.
    #[must_use]
    pub fn relayed(status: u16, refused: bool) -> Self {
        match status {
            ..400 => Self::Ok,
            400..500 if !refused => Self::ClientError,
            _ => Self::GatewayError,
        }
    }

    /// The value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::GatewayError => "gateway_error",
            Self::Proxy(code) => code,
            Self::CallerGone => "caller_gone",
            Self::CutOff => "cut_off",
        }
    }
}
