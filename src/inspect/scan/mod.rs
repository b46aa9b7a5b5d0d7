//! Finds the values of secret names in text that arrives in pieces, and puts something else in their
//! place: fields of forms, members of JSON, and fields of multipart forms.
//!
//! Only a value that is or may be hidden is held back until it ends. All else is passed on at once, so
//! that an open event stream can be watched.
//!
//! # What can go wrong
//!
//! Elements of XML, YAML and binary formats are not recognised.

mod form;
mod json;

pub(super) use form::{Form, Kind};
pub(super) use json::Json;

/// The longest name of a secret, in bytes.
const MAX_NAME: usize = 256;

/// The values that were hidden in one text.
pub(super) type Found = Vec<Vec<u8>>;

/// Remembers a value that was hidden, up to a limit for each text.
fn remember(found: &mut Found, value: Vec<u8>) {
    const MAX_FOUND: usize = 16;
    if found.len() < MAX_FOUND {
        found.push(value);
    }
}
