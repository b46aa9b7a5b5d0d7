//! Draws keys and tokens that no account has.
//!
//! # What can go wrong
//!
//! They are as good as the emulator needs them, and not for guarding anything: the generator is not a
//! cryptographic one.

use secrecy::SecretString;

use crate::credentials::Credentials;

/// A key that no account has.
pub(crate) fn key() -> Credentials {
    Credentials {
        access_key: drawn(20, capital),
        secret_key: text(40),
        security_token: None,
    }
}

/// A temporary key, whose id begins as those of the cloud do.
pub(super) fn temporary_key() -> Credentials {
    Credentials {
        access_key: format!("HST{}", drawn(17, capital)),
        secret_key: text(40),
        security_token: Some(text(600)),
    }
}

/// So many letters and digits.
pub(super) fn text(length: usize) -> SecretString {
    drawn(length, fastrand::alphanumeric).into()
}

fn drawn(length: usize, of: fn() -> char) -> String {
    std::iter::repeat_with(of).take(length).collect()
}

fn capital() -> char {
    if fastrand::bool() {
        fastrand::uppercase()
    } else {
        fastrand::digit(10)
    }
}
