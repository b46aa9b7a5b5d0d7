//! The caller of a request, as the request's context has it.

use std::cell::Cell;
use std::sync::Arc;

use secrecy::SecretString;

use crate::config::Surrogate;

/// The caller of a request.
#[derive(Debug)]
pub(in crate::proxy) struct Identified {
    pub(in crate::proxy) caller: Arc<Surrogate>,
    /// Its label in the metrics.
    pub(in crate::proxy) label: &'static str,
    /// False until the body has confirmed the signature.
    pub(in crate::proxy) is_proven: Cell<bool>,
    /// False if the caller signed, and its signature does not cover the body.
    pub(in crate::proxy) body_signed: Cell<bool>,
    /// The beginning of the path that the caller used, like `/~<digits>`.
    pub(in crate::proxy) capability: Option<SecretString>,
}
