//! Whom an emulator knows: what its gateway accepts, and to whom its identity services issue keys.
//!
//! Apart from the gateway and the services, because both are made from it: a key that a service issues
//! has to be one that the gateway takes.
//!
//! # What can go wrong
//!
//! What is left out is not accepted: an emulator without users refuses every password. Only the metadata
//! service asks for nobody, like the real one, so it always answers a key.

use std::time::Duration;

use secrecy::SecretString;

use super::drawing;
use crate::credentials::Credentials;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whom an emulator knows, and how long what it issues is good for.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Access keys. One with a token is known together with it only, and never expires.
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
    /// The text of the file that pod identity asks for; without it no pod is known.
    pub pod_token: Option<SecretString>,
    /// Whom STS and IAM trust to tell identities; without it nobody.
    pub federation: Option<Federation>,
    /// Whether the metadata service wants a token of its own.
    pub metadata_tokens: MetadataTokens,
    /// How long a temporary key is good for, unless its caller asks for less.
    pub key_lifetime: Duration,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// The longest bodies that the gateway takes.
    pub limits: Limits,
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

/// Whether the metadata service wants a token of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataTokens {
    /// Keys are given only to callers with a token that was got before.
    #[default]
    Required,
    /// There are no such tokens, as on older machines: asking for one is answered with 404.
    Off,
}

/// The longest bodies that the gateway takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// With a signature, an app code or an API key.
    pub body: u64,
    /// With `X-Auth-Token`.
    pub body_with_token: u64,
}

impl Accounts {
    /// One of each kind that is known by a secret, with secrets that were never used before: a key, an
    /// app, an app code, an API key, a user, a pod and a federation.
    #[must_use]
    pub fn throw_away() -> Self {
        Self {
            keys: vec![drawing::key()],
            apps: vec![drawing::key()],
            app_codes: vec![drawing::text(64)],
            api_keys: vec![drawing::text(64)],
            users: vec![User {
                domain: "demo".to_owned(),
                name: "demo".to_owned(),
                password: drawing::text(24),
            }],
            pod_token: Some(drawing::text(64)),
            federation: Some(Federation {
                idp_id: "demo".to_owned(),
                provider_urn: "iam::demo:oidcProvider:demo".to_owned(),
                agency_urn: "iam::demo:agency:demo".to_owned(),
                id_token: drawing::text(64),
            }),
            ..Self::default()
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            apps: Vec::new(),
            app_codes: Vec::new(),
            api_keys: Vec::new(),
            tokens: Vec::new(),
            users: Vec::new(),
            pod_token: None,
            federation: None,
            metadata_tokens: MetadataTokens::default(),
            key_lifetime: DAY,
            // As IAM has it.
            token_lifetime: DAY,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // ModelArts, access over the public network: 12 MB.
            body: 12 * 1024 * 1024,
            // "For larger ones, use a token": how large is not said.
            body_with_token: 1024 * 1024 * 1024,
        }
    }
}
