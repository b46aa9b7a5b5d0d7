//! The accounts of an emulator: what its gateway accepts, and to whom its identity services issue
//! keys.
//!
//! What is left out is not accepted: an emulator without users refuses every password. Only the
//! metadata service asks for no identity, like the real one, so it always gives a key.

use std::time::Duration;

use secrecy::SecretString;

use crate::credentials::Credentials;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The accounts of an emulator, and the lifetimes of what it issues.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Access keys. One with a token is accepted together with it only, and never expires.
    pub keys: Vec<Credentials>,
    /// App keys with their secrets, which sign as access keys do.
    pub apps: Vec<Credentials>,
    /// Values of `X-Apig-AppCode`.
    pub app_codes: Vec<SecretString>,
    /// API keys, which come as `Authorization: Bearer …`.
    pub api_keys: Vec<SecretString>,
    /// Values of `X-Auth-Token` that never expire, beside those that IAM issues.
    pub tokens: Vec<SecretString>,
    /// Users to whom IAM issues tokens.
    pub users: Vec<User>,
    /// The token of a pod, for pod identity; without it no pod is known.
    pub pod_token: Option<SecretString>,
    /// The identity provider that STS and IAM trust; without it none.
    pub federation: Option<Federation>,
    /// The lifetime of a token, and of a temporary key unless its caller asks for less; without it
    /// a day, as in IAM.
    pub lifetime: Option<Duration>,
}

/// A user of IAM.
#[derive(Clone, Debug)]
pub struct User {
    /// The account.
    pub domain: String,
    /// The name of the user in it.
    pub name: String,
    /// The password.
    pub password: SecretString,
}

/// An identity provider that is trusted, with an identity token of its own.
#[derive(Clone, Debug)]
pub struct Federation {
    /// The value of `X-Idp-Id`, for IAM.
    pub idp_id: String,
    /// The name of the provider, for STS.
    pub provider_urn: String,
    /// The agency that its identities may assume, for STS.
    pub agency_urn: String,
    /// The identity token that is accepted.
    pub id_token: SecretString,
}

impl Accounts {
    /// One of each kind, with new secrets.
    pub fn throw_away() -> Self {
        Self {
            keys: vec![random_key("", 20)],
            apps: vec![random_key("", 20)],
            app_codes: vec![random_text(64)],
            api_keys: vec![random_text(64)],
            users: vec![User {
                domain: "demo".to_owned(),
                name: "demo".to_owned(),
                password: random_text(24),
            }],
            pod_token: Some(random_text(64)),
            federation: Some(Federation {
                idp_id: "demo".to_owned(),
                provider_urn: "iam::demo:oidcProvider:demo".to_owned(),
                agency_urn: "iam::demo:agency:demo".to_owned(),
                id_token: random_text(64),
            }),
            ..Self::default()
        }
    }
}

/// A key whose id has this prefix and this length. The generator is not a cryptographic one: emulated
/// accounts guard nothing.
pub(super) fn random_key(prefix: &str, length: usize) -> Credentials {
    let capital = || fastrand::alphanumeric().to_ascii_uppercase();
    let rest = std::iter::repeat_with(capital).take(length - prefix.len());
    Credentials {
        access_key: prefix.chars().chain(rest).collect(),
        secret_key: random_text(40),
        security_token: None,
    }
}

/// Random letters and digits.
pub(super) fn random_text(length: usize) -> SecretString {
    let characters = std::iter::repeat_with(fastrand::alphanumeric).take(length);
    characters.collect::<String>().into()
}
