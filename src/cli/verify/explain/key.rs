//! Mistakes with the secret key: what it becomes on its way through files and shells.

use secrecy::{ExposeSecret, SecretString};

use crate::credentials::Credentials;
use crate::signature::Signer;

/// Signers with what the key may have become, and what to say of each. The secret is in none of the texts.
pub(super) fn signers(credentials: &Credentials) -> Vec<(&'static str, Signer)> {
    let access_key = &credentials.access_key;
    spelt(credentials.secret_key.expose_secret(), access_key)
        .into_iter()
        .map(|(says, secret)| (says, Signer::new(access_key, &SecretString::from(secret))))
        .collect()
}

fn spelt(secret: &str, access_key: &str) -> [(&'static str, String); 8] {
    [
        (
            "the secret key was used with a line feed at its end; take it off when the key is read",
            format!("{secret}\n"),
        ),
        (
            "the secret key was used with CR LF at its end; take them off when the key is read",
            format!("{secret}\r\n"),
        ),
        (
            "the secret key was used with a blank at its end; take it off when the key is read",
            format!("{secret} "),
        ),
        (
            "the secret key was used with a blank before it; take it off when the key is read",
            format!(" {secret}"),
        ),
        (
            "the secret key was used with blanks around it taken off; give it without them here too",
            secret.trim().to_owned(),
        ),
        (
            "the secret key was used with quotes around it; take them off when the key is read",
            format!("\"{secret}\""),
        ),
        (
            "the secret key was used with \"SDK\" before it, as the older form has it; use the key as it is",
            format!("SDK{secret}"),
        ),
        (
            "the access key id was used in the place of the secret key; sign with the secret key",
            access_key.to_owned(),
        ),
    ]
}
