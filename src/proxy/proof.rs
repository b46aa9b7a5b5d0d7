//! What requests show so that the gateway lets them in: a signature, or a secret in a header.

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::lockout::{KeyBreakers, Lockout, Pass};
use super::payload::Prepared;
use super::sign::{Signable, SigningKey};
use crate::config::Route;
use crate::credentials::{Issued, Kind, Secret};
use crate::error::Error;
use crate::gateway_error::Shows;
use crate::http1::push_field;
use crate::signature::SigningDate;

/// What requests show.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A signature with this key.
    Key(SigningKey),
    /// A secret in a header.
    Header(HeaderProof),
}

/// A secret that is sent as it is.
#[derive(Clone, Debug)]
pub(super) struct HeaderProof {
    kind: Kind,
    secret: SecretString,
    project_id: Option<HeaderValue>,
}

/// The head of a request that shows what it has to. Only [`Proof::apply`] makes one.
pub(super) struct Signed(Vec<u8>);

impl Signed {
    /// Takes the head out for sending.
    pub(super) fn into_head(self) -> bytes::Bytes {
        self.0.into()
    }
}

impl Proof {
    /// Makes what was issued ready for use; `None` if no header can carry it.
    pub(super) fn new(
        kind: Kind,
        issued: &Issued,
        project_id: Option<&HeaderValue>,
        breakers: &KeyBreakers,
    ) -> Option<Self> {
        let project_id = project_id.or(issued.project_id.as_ref()).cloned();
        match &issued.secret {
            Secret::Key(credentials) => {
                let key = SigningKey::new(credentials, project_id).ok()?;
                Some(Self::Key(key.sharing(breakers.lockout(credentials))))
            }
            Secret::Text(secret) => Some(Self::Header(HeaderProof {
                kind,
                secret: secret.clone(),
                project_id,
            })),
        }
    }

    /// The signing key, if it is one.
    pub(super) fn key(&self) -> Option<&SigningKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Header(_) => None,
        }
    }

    /// What is known of the key at the gateway.
    pub(super) fn lockout(&self) -> Option<&Lockout> {
        self.key().map(|key| &**key.lockout())
    }

    /// Leave to send a request. Only what is signed needs one: nothing else locks.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLocked`].
    pub(super) async fn admit(&self) -> Result<Option<Pass<'_>>, Error> {
        match self.lockout() {
            Some(lockout) => lockout.admit().await.map(Some),
            None => Ok(None),
        }
    }

    /// What it is, as far as advice depends on it.
    pub(super) fn shows(&self) -> Shows {
        match self {
            Self::Key(_) => Shows::Signature,
            Self::Header(header) => match header.kind {
                Kind::AppCode => Shows::AppCode,
                Kind::ApiKey => Shows::ApiKey,
                Kind::Token | Kind::Key => Shows::Token,
            },
        }
    }

    /// The secret that is sent as it is, and that an answer may repeat.
    pub(super) fn sent_secret(&self) -> Option<&SecretString> {
        match self {
            Self::Key(key) => key.security_token(),
            Self::Header(header) => Some(&header.secret),
        }
    }

    /// Makes the head that is sent.
    ///
    /// # Errors
    ///
    /// As [`Signable::new`].
    pub(super) fn apply(
        &self,
        prepared: &Prepared,
        route: &Route,
        date: SigningDate,
    ) -> Result<Signed, Error> {
        match self {
            Self::Key(key) => Signable::new(prepared, route, key, date)?
                .sign(key)
                .map(Signed),
            Self::Header(header) => Ok(Signed(header.head(prepared))),
        }
    }
}

impl HeaderProof {
    fn head(&self, prepared: &Prepared) -> Vec<u8> {
        let secret = self.secret.expose_secret().as_bytes();
        let mut head = Vec::with_capacity(prepared.head.len() + secret.len() + 128);
        head.extend_from_slice(&prepared.head);
        if let Some(project_id) = &self.project_id {
            push_field(&mut head, "x-project-id", project_id.as_bytes());
        }
        let (name, prefix) = self.field();
        push_field(&mut head, name, &[prefix, secret].concat());
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The name of the header, and what stands before the secret in it.
    fn field(&self) -> (&'static str, &'static [u8]) {
        match self.kind {
            Kind::AppCode => ("x-apig-appcode", b""),
            // The prefix is documented for the API keys of MaaS (maas-modelarts-0080).
            Kind::ApiKey => ("authorization", b"Bearer "),
            Kind::Token | Kind::Key => ("x-auth-token", b""),
        }
    }
}
