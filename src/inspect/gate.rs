//! Lets requests with the token in. Whoever sends wrong ones is told to stop.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::Instant;

use super::token::Token;

/// How many wrong tokens are answered as such in a minute.
const MAX_WRONG: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Knows the token, and counts wrong ones.
#[derive(Debug)]
pub(super) struct Gate {
    token: Token,
    wrong: u32,
    /// When the minute began in which they are counted.
    since: Instant,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    Wrong,
    TooMany,
}

impl Gate {
    pub(super) fn new(token: Token) -> Self {
        Self {
            token,
            wrong: 0,
            since: Instant::now(),
        }
    }

    /// Takes another token from now on.
    pub(super) fn replace(&mut self, token: Token) {
        self.token = token;
    }

    /// Checks the token of a request. The right one is let in whatever others send: every user of
    /// the machine could lock its owner out otherwise, and 256 bits cannot be guessed.
    pub(super) fn check(&mut self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refusal::Missing);
        };
        let token = bearer(value.as_bytes()).ok_or(Refusal::Missing)?;
        if self.token.is(token) {
            return Ok(());
        }
        if self.since.elapsed() >= MINUTE {
            (self.wrong, self.since) = (0, Instant::now());
        }
        self.wrong = self.wrong.saturating_add(1);
        match self.wrong {
            1 => tracing::warn!("a request with a wrong token was sent to the inspector"),
            ..=MAX_WRONG => {}
            _ => return Err(Refusal::TooMany),
        }
        Err(Refusal::Wrong)
    }
}

/// The token of a value like `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = scheme.eq_ignore_ascii_case(SCHEME).then_some(token)?;
    Some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(gate: &mut Gate, values: &[&'static str]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        gate.check(&headers)
    }

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_tokens_a_minute_others_are_told_to_stop_and_the_right_one_is_let_in() {
        let mut gate = Gate::new(Token::new("right".to_owned().into()));
        for missing in [
            &[][..],
            &["Basic right"],
            &["right"],
            &["Bearer"],
            &["Bearer right"; 2],
        ] {
            assert_eq!(
                check(&mut gate, missing),
                Err(Refusal::Missing),
                "{missing:?}"
            );
        }
        for _ in 0..2 {
            for _ in 0..10 {
                assert_eq!(check(&mut gate, &["Bearer wrong"]), Err(Refusal::Wrong));
            }
            for _ in 0..3 {
                assert_eq!(check(&mut gate, &["Bearer wrong"]), Err(Refusal::TooMany));
                assert_eq!(check(&mut gate, &["bearer  right "]), Ok(()));
            }
            tokio::time::advance(MINUTE).await;
        }
    }
}
