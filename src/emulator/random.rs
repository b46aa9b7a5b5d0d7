//! Random keys and tokens for emulated accounts. The generator is not a cryptographic one: they
//! guard nothing.

use secrecy::SecretString;

use crate::credentials::Credentials;

/// A key.
pub(super) fn key() -> Credentials {
    Credentials {
        access_key: characters(20, capital),
        secret_key: text(40),
        security_token: None,
    }
}

/// A temporary key, whose id begins as those of the cloud do.
pub(super) fn temporary_key() -> Credentials {
    Credentials {
        access_key: format!("HST{}", characters(17, capital)),
        secret_key: text(40),
        security_token: Some(text(600)),
    }
}

/// Returns `length` random letters and digits.
pub(super) fn text(length: usize) -> SecretString {
    characters(length, fastrand::alphanumeric).into()
}

fn characters(length: usize, next: fn() -> char) -> String {
    std::iter::repeat_with(next).take(length).collect()
}

fn capital() -> char {
    fastrand::alphanumeric().to_ascii_uppercase()
}
