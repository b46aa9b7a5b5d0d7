//! Checks the token of requests, and limits how many wrong ones are answered in a minute.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::Instant;

use super::problem::{self, Problem};
use super::token::Token;

/// How many wrong tokens in a minute are answered with 401; the others get 429.
const MAX_WRONG: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Compares tokens, and counts wrong ones.
#[derive(Debug)]
pub(super) struct Gate {
    /// A reload may replace it.
    pub(super) token: Token,
    wrong: u32,
    /// When the minute began in which they are counted.
    since: Instant,
}

impl Gate {
    pub(super) fn new(token: Token) -> Self {
        Self {
            token,
            wrong: 0,
            since: Instant::now(),
        }
    }

    /// Checks the token of a request. The right one is let in whatever others send: every user of
    /// the machine could lock its owner out otherwise, and 256 bits cannot be guessed.
    pub(super) fn check(&mut self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(problem::TOKEN_REQUIRED);
        };
        let token = bearer(value.as_bytes()).ok_or(problem::TOKEN_REQUIRED)?;
        if self.token.is(token) {
            return Ok(());
        }
        if self.since.elapsed() >= MINUTE {
            (self.wrong, self.since) = (0, Instant::now());
        }
        self.wrong = self.wrong.saturating_add(1);
        if self.wrong == 1 {
            tracing::warn!("a request with a wrong token was sent to the inspector");
        }
        Err(if self.wrong <= MAX_WRONG {
            problem::WRONG_TOKEN
        } else {
            problem::TOO_MANY_TOKENS
        })
    }
}

/// The token of a value like `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = scheme.eq_ignore_ascii_case(SCHEME).then_some(token)?;
    Some(token.trim_ascii())
}
