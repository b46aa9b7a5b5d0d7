//! JSON that holds secrets.

use secrecy::zeroize::Zeroize;
use serde_json::Value;

/// A value whose texts are wiped when it is dropped. What the parser needs to undo escapes is not; in a
/// key there are none.
pub(super) struct Wiped(pub(super) Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
