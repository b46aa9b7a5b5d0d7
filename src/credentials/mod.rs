//! Where the signing key comes from.

use secrecy::SecretString;

/// An access key pair, with the token that a temporary pair needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id (AK): a name, not a secret, but kept out of answers all the same.
    pub access_key: String,
    /// The secret access key (SK).
    pub secret_key: SecretString,
    /// `X-Security-Token` of a temporary pair.
    pub security_token: Option<SecretString>,
}
