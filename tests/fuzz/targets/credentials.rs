//! A file with credentials is read or refused, and what is refused is not quoted.
//!
//! The input is the content of a file: CSV, INI or JSON, as its first character says.

use std::path::Path;

use apig_proxy::credentials::{Credentials, CredentialsError, Lease, Origin, Secret, parse};
use secrecy::ExposeSecret;

const PATH: &str = "the-file";

pub(crate) fn target(data: &[u8]) {
    for user in [None, Some("me")] {
        match parse(data, Path::new(PATH), user) {
            Ok(lease) => check_lease(&lease),
            Err(error) => check_error(&error),
        }
    }
}

fn check_lease(lease: &Lease) {
    let Secret::Key(credentials) = &lease.secret else {
        panic!("a file with a key has given {:?}", lease.secret);
    };
    let secret = credentials.secret_key.expose_secret();
    let is_whole = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    assert!(is_whole(secret) && is_whole(&credentials.access_key));
    assert!(!credentials.access_key.contains(','));
    let token = credentials.security_token.as_ref();
    let token = token.map_or("", |token| token.expose_secret());
    let is_value = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    assert!(is_value(&credentials.access_key) && is_value(token));
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

/// The text of an error consists of the path and a text of the program, so it says nothing of the
/// content.
fn check_error(error: &CredentialsError) {
    let CredentialsError::Invalid { origin, problem } = error else {
        panic!("{error}");
    };
    let fixed: &'static str = problem;
    assert_eq!(origin, &Origin::File(PATH.into()));
    assert_eq!(error.to_string(), format!("{PATH} {fixed}"));
}
