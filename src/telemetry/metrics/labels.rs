//! The labels of requests. Each comes from a fixed set, so that nothing a caller sends becomes one.

use std::fmt;

/// What tells counted requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestLabels {
    /// Index of the route; `None` if the request was answered before one was found.
    pub(crate) route: Option<usize>,
    pub(crate) method: MethodLabel,
    pub(crate) code: u16,
    pub(crate) outcome: Outcome,
}

/// A method that is told apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MethodLabel(&'static str);

impl MethodLabel {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

    /// The method with this name, or the one that stands for all others.
    pub(crate) fn of(name: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|known| *known == name);
        Self(known.unwrap_or("other"))
    }

    pub(super) fn name(self) -> &'static str {
        self.0
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was answered with a status below 400.
    Ok,
    /// It was answered with a status from 400 to 499 by what is behind the gateway.
    ClientError,
    /// The gateway has refused it in its own name, or it was answered with a status from 500 on.
    GatewayError,
    /// The proxy has answered it with this code.
    Proxy(&'static str),
    /// The caller went away before it was answered.
    CallerGone,
    /// The process ended before it was answered.
    CutOff,
}

impl Outcome {
    /// The outcome of an answer that came from the gateway, which may have `refused` in its own name.
    #[must_use]
    pub fn relayed(status: u16, refused: bool) -> Self {
        match status {
            ..400 => Self::Ok,
            400..500 if !refused => Self::ClientError,
            _ => Self::GatewayError,
        }
    }

    /// Its name.
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

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_are_not_known_count_as_one() {
        assert_eq!(MethodLabel::of("PATCH").name(), "PATCH");
        for name in ["get", "MARKER", "", "TRACE"] {
            assert_eq!(MethodLabel::of(name).name(), "other", "{name}");
        }
    }

    #[test]
    fn a_refusal_of_the_gateway_s_own_is_not_the_caller_s_error() {
        for (status, refused, outcome) in [
            (101, false, "ok"),
            (304, false, "ok"),
            (404, false, "client_error"),
            (404, true, "gateway_error"),
            (500, false, "gateway_error"),
        ] {
            assert_eq!(
                Outcome::relayed(status, refused).to_string(),
                outcome,
                "{status}"
            );
        }
    }
}
