//! A file with credentials is read or refused, and what is refused is not quoted.
//!
//! The input is the content of a file: CSV, INI or JSON, as its first character says.

use std::path::Path;

use apig_proxy::credentials::{Credentials, CredentialsError, Found, Origin, parse};
use apig_proxy::proxy::SigningKey;
use secrecy::ExposeSecret;

const PATH: &str = "the-file";

pub(crate) fn target(data: &[u8]) {
    for user in [None, Some("me")] {
        match parse(data, Path::new(PATH), user) {
            Ok(found) => check_found(&found),
            Err(error) => check_error(&error),
        }
    }
}

fn check_found(found: &Found) {
    let credentials = &found.credentials;
    let secret = credentials.secret_key.expose_secret();
    let is_whole = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    assert!(is_whole(secret) && is_whole(&credentials.access_key));
    assert!(!credentials.access_key.contains(','));
    SigningKey::new(credentials, found.project_id.clone()).expect("what is read can be used");
    // Debug output is the same for every secret, so it shows none.
    let other = Credentials {
        secret_key: "another".into(),
        security_token: credentials
            .security_token
            .as_ref()
            .map(|_| "another".into()),
        ..credentials.clone()
    };
    assert_eq!(format!("{credentials:?}"), format!("{other:?}"));
}

/// The text of an error is one of those that stand in the program, so it says nothing of the content.
fn check_error(error: &CredentialsError) {
    let of_path = [
        CredentialsError::Utf16,
        CredentialsError::NotUtf8,
        CredentialsError::Columns,
        CredentialsError::ApiKey,
        CredentialsError::NoRow,
        CredentialsError::NoSuchUser,
        CredentialsError::Profile,
        CredentialsError::NotAProfile,
        CredentialsError::Encrypted,
        CredentialsError::NotHcloud,
    ];
    let of_origin = [
        CredentialsError::Blanks,
        CredentialsError::NotAKey,
        CredentialsError::OtherCloud,
    ];
    let known = of_path
        .map(|error| error(PATH.into()))
        .into_iter()
        .chain(of_origin.map(|error| error(Origin::File(PATH.into()))));
    let shown = |error: &CredentialsError| format!("{error}\n{error:?}");
    let text = shown(error);
    assert!(
        known.map(|known| shown(&known)).any(|known| known == text),
        "{text}"
    );
}
