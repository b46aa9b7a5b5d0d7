//! What is known of what a gateway speaks.

use std::time::Duration;

use tokio::time::Instant;

/// How long a gateway that has not begun with HTTP/2 after agreeing to it is not offered that again.
const DISTRUST: Duration = Duration::from_secs(60);

/// What is known of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Unknown,
    Http1,
    Http2,
    /// It has agreed to HTTP/2 and then not begun with it, at this time.
    Broken(Instant),
    /// It wants HTTP/1.1, though it has agreed to HTTP/2 (RFC 9113 §7, HTTP_1_1_REQUIRED).
    WantsHttp1,
}

impl Speaks {
    /// Whether HTTP/2 is worth being offered.
    pub(super) fn may_be_http2(self) -> bool {
        match self {
            Self::WantsHttp1 => false,
            Self::Broken(since) => since.elapsed() >= DISTRUST,
            Self::Unknown | Self::Http1 | Self::Http2 => true,
        }
    }

    /// Whether a connection that is offered HTTP/2 is likely to become one with it.
    pub(super) fn is_likely_http2(self) -> bool {
        match self {
            Self::Unknown | Self::Http2 => true,
            // It is tried by one request then, and not by all of a crowd.
            Self::Broken(_) => self.may_be_http2(),
            Self::Http1 | Self::WantsHttp1 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_did_not_keep_to_http2_is_offered_it_again_after_a_while() {
        let broken = Speaks::Broken(Instant::now());
        advance(DISTRUST - Duration::from_millis(1)).await;
        assert!(!broken.may_be_http2() && !broken.is_likely_http2());
        advance(Duration::from_millis(1)).await;
        assert!(broken.may_be_http2() && broken.is_likely_http2());
        assert!(!Speaks::WantsHttp1.may_be_http2());
    }
}
