//! The ways to show whose requests are, as the demo tells of them.

use clap::ValueEnum;

/// What the proxy of the demo shows the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Auth {
    /// A signature with an access key.
    #[default]
    Aksk,
    /// A token that the emulated IAM issues.
    Token,
    /// The code of an app.
    AppCode,
    /// An API key of ModelArts.
    ApiKey,
}

impl Auth {
    /// Its name in the configuration, and in what the gateway answers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Aksk => "aksk",
            Self::Token => "token",
            Self::AppCode => "app-code",
            Self::ApiKey => "api-key",
        }
    }

    /// Whether a request carries a signature.
    pub(super) fn is_signature(self) -> bool {
        self == Self::Aksk
    }

    /// What the gateway of the demo does.
    pub(super) fn gateway(self) -> &'static str {
        match self {
            Self::Aksk => "verifies signatures",
            Self::Token => "knows the tokens of its IAM",
            Self::AppCode => "knows app codes",
            Self::ApiKey => "knows API keys",
        }
    }

    /// What the proxy of the demo does.
    pub(super) fn proxy(self) -> &'static str {
        match self {
            Self::Aksk => "signs with a key made for this run",
            Self::Token => "sends a token that IAM gave for a user made for this run",
            Self::AppCode => "sends an app code made for this run",
            Self::ApiKey => "sends an API key made for this run",
        }
    }

    /// What the gateway has said of a request that it accepted.
    pub(super) fn accepted(self) -> &'static str {
        match self {
            Self::Aksk => "signature verified",
            Self::Token => "token accepted",
            Self::AppCode => "app code accepted",
            Self::ApiKey => "API key accepted",
        }
    }

    /// What a request lacks that goes past the proxy.
    pub(super) fn lack(self) -> &'static str {
        match self {
            Self::Aksk => "unsigned",
            Self::Token => "without a token",
            Self::AppCode => "without an app code",
            Self::ApiKey => "without an API key",
        }
    }
}
