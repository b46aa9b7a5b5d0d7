//! The path as a gateway may read it: decoded once, an encoded slash as a slash, slashes merged.
//!
//! The gateway's own reading is not documented: it may decode a path, merge its slashes, both, or
//! none. Two paths that are equal in any of these readings are equal in this one. It is for
//! comparisons only, and never sent or signed.

use std::borrow::Cow;

use super::encoding;

/// The path with all escapes decoded and all runs of slashes merged. The result need not be UTF-8.
///
/// It is decoded once: `%252F` becomes `%2F` and not a slash. A broken escape stands for itself.
#[must_use]
pub fn normalized_path(path: &str) -> Cow<'_, [u8]> {
    let bytes = path.as_bytes();
    let is_normalized = !bytes.contains(&b'%') && !bytes.windows(2).any(|pair| pair == b"//");
    if is_normalized {
        return Cow::Borrowed(bytes);
    }
    let mut normalized = Vec::with_capacity(bytes.len());
    for byte in encoding::decoded(path) {
        if byte != b'/' || normalized.last() != Some(&b'/') {
            normalized.push(byte);
        }
    }
    Cow::Owned(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_slashes_merged() {
        let cases: [(&str, &[u8]); 12] = [
            ("", b""),
            ("//", b"/"),
            ("/%66lowers", b"/flowers"),
            ("/%2f%2Fa//b/", b"/a/b/"),
            ("/a/%2F/b", b"/a/b"),
            ("/a%252Fb", b"/a%2Fb"),
            ("/a%25%32%46b", b"/a%2Fb"),
            ("/caf%C3%A9", "/café".as_bytes()),
            ("/%ff%C3", b"/\xff\xc3"),
            ("/%00%3F", b"/\0?"),
            ("/%zz%2", b"/%zz%2"),
            ("/%//2F", b"/%/2F"),
        ];
        for (path, expected) in cases {
            assert_eq!(&*normalized_path(path), expected, "{path}");
        }
        // The usual path is not copied.
        assert!(matches!(normalized_path("/a/b/"), Cow::Borrowed(_)));
    }
}
