//! What the gateway says in a refusal: read before it is relayed, so that the proxy can act on it.
//!
//! The answer itself stays as it is. It gets a hint for the caller and a line in the log; the clock is
//! learned from it, and the key is kept from being locked.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::lockout::Verdict;
use super::payload::Prepared;
use super::proof::Proof;
use super::sign::Signable;
use crate::clock::GatewayClock;
use crate::config::Route;
use crate::gateway_error::{Context, GatewayError, Meaning};
use crate::http1::ResponseHead;
use crate::signature::SigningDate;
use crate::upstream::Connection;

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and repeat at
/// most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is no refusal, and is relayed as it comes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a date may be off for the gateway to accept it (API Request Signing Guide), in seconds.
const WINDOW: u64 = 15 * 60;

/// Longest security token that is looked for; shorter ones than this are too common to be one.
const SHORTEST_TOKEN: usize = 8;

/// An answer whose body was read ahead, as far as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// What was read of the body.
    pub(super) body: Bytes,
    pub(super) error: Option<GatewayError>,
}

/// Whether an answer may be one of the gateway's own refusals.
pub(super) fn may_be(head: &ResponseHead) -> bool {
    head.status >= 400 && head.fields.first("content-encoding").is_none()
}

/// Reads ahead. `connection` must have been told of the head.
pub(super) async fn read(
    connection: &mut Connection,
    head: &ResponseHead,
    proof: &Proof,
) -> Refusal {
    let mut body = BytesMut::new();
    // What is wrong with a body shows when it is relayed.
    let reading = async {
        while let Some(Ok(piece)) = poll_fn(|cx| connection.poll_piece(cx)).await {
            body.extend_from_slice(&piece);
            if body.len() > AHEAD {
                break;
            }
        }
    };
    let _ = timeout(PATIENCE, reading).await;
    let status = head.status;
    let error = GatewayError::read(status, &body);
    if let Some(secret) = proof.sent_secret() {
        blot_out(&mut body, secret);
    }
    Refusal {
        status,
        body: body.freeze(),
        error,
    }
}

impl Refusal {
    /// An answer of which nothing is known but its status.
    pub(super) fn unread(status: u16) -> Self {
        Self {
            status,
            body: Bytes::new(),
            error: None,
        }
    }

    /// What it says of the signature.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.error {
            Some(error) if self.status == 401 && error.meaning == Meaning::KeyLocked => {
                Verdict::Locked
            }
            Some(error) if self.status == 401 && error.meaning.is_signature_failure() => {
                Verdict::Wrong
            }
            // Checked before the signature, or at a place that is not known.
            Some(_) => Verdict::Unknown,
            // Not the gateway's own: it has let the request through.
            None if !matches!(self.status, 401 | 403 | 502..=504) => Verdict::Right,
            None => Verdict::Unknown,
        }
    }

    /// Whether the date of the signature was refused, and the gateway's time if it tells it. A refusal of
    /// another date than the one that was sent, or at a time at which it was good, is not believed: a
    /// service behind the gateway could say anything.
    pub(super) fn expired(&self, date: SigningDate) -> Option<Option<i64>> {
        let Some(Meaning::Expired { signed, server }) = self.meaning() else {
            return None;
        };
        let is_other = signed.is_some_and(|signed| signed != date);
        let server = server.map(|server| server.unix_seconds());
        let is_good = |server: i64| server.abs_diff(date.unix_seconds()) <= WINDOW;
        (!is_other && !server.is_some_and(is_good)).then_some(server)
    }

    /// Whether the token, app code or API key was refused.
    pub(super) fn is_of_secret(&self) -> bool {
        matches!(
            self.meaning(),
            Some(Meaning::InvalidToken | Meaning::UnknownApp | Meaning::Unauthorized)
        )
    }

    /// Whether a key that ends may have been withdrawn, or have ended before its time.
    pub(super) fn is_of_key(&self) -> bool {
        matches!(
            self.meaning(),
            Some(Meaning::UnknownKey | Meaning::InvalidToken | Meaning::Expired { .. })
        )
    }

    /// What the refusal means, if it is one of those that the gateway makes before anybody is asked.
    fn meaning(&self) -> Option<&Meaning> {
        let error = self.error.as_ref().filter(|_| self.status == 401);
        error.map(|error| &error.meaning)
    }

    /// One line for the caller, which is also written to the log.
    pub(super) fn hint(
        &self,
        prepared: &Prepared,
        route: &Route,
        proof: &Proof,
        (clock, date): (&GatewayClock, SigningDate),
    ) -> Option<String> {
        let error = self.error.as_ref()?;
        let canonical = proof.key().and_then(|key| {
            let signable = Signable::new(prepared, route, key, date).ok()?;
            Some(signable.canonical().ok()?.to_string())
        });
        let ahead = clock.ahead();
        let hint = error.hint(&Context {
            canonical_request: canonical.as_deref(),
            shows: proof.shows(),
            has_security_token: proof
                .key()
                .is_some_and(|key| key.security_token().is_some()),
            clock_offset: (ahead != 0).then_some(ahead),
            corrects_clock: clock.corrects(),
            stage: route.stage.to_str().unwrap_or_default(),
            host: &route.upstream.host,
        });
        let code = error.code.as_str();
        match &hint {
            Some(hint) => tracing::warn!(code, "the gateway refused a request: {hint}"),
            None => tracing::info!(code, "the gateway refused a request"),
        }
        hint
    }
}

/// Makes a secret unreadable wherever it stands, plain or as JSON may write it, without changing a length.
fn blot_out(text: &mut [u8], secret: &[u8]) {
    if secret.len() < SHORTEST_TOKEN {
        return;
    }
    let escaped = String::from_utf8_lossy(secret)
        .replace('/', "\\/")
        .into_bytes();
    for secret in [secret, &escaped] {
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&text[from..], secret) {
            text[from + at..from + at + secret.len()].fill(b'*');
            from += at + secret.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_blotted_out_in_both_spellings_and_nothing_moves() {
        let mut text = *b"a:tok/en+x==|b:tok\\/en+x==|tok/en";
        blot_out(&mut text, b"tok/en+x==");
        assert_eq!(&text, b"a:**********|b:***********|tok/en");
        let mut text = *b"a short one";
        blot_out(&mut text, b"short");
        assert_eq!(&text, b"a short one");
    }
}
