//! The id of a distributed trace, as a caller sends it (W3C Trace Context).

/// The length of a `traceparent` of version 00: version, trace id, parent id and flags.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;

/// The trace id of a `traceparent`, if that is well-formed.
///
/// A later version may be longer, but begins in the same way (§3.2.4 of the recommendation).
#[must_use]
pub fn trace_id(traceparent: &[u8]) -> Option<u128> {
    let (known, more) = traceparent.split_at_checked(LENGTH)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    let lengths = [version, trace, parent, flags].map(<[u8]>::len);
    let is_hex = |part: &[u8]| {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.iter().all(is_digit)
    };
    let is_continued = more.is_empty() || (version != b"00" && more[0] == b'-');
    let is_well_formed = lengths == [2, 32, 16, 2]
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && parent.iter().any(|digit| *digit != b'0')
        && version != b"ff"
        && is_continued;
    let id = u128::from_str_radix(str::from_utf8(trace).ok()?, 16).ok()?;
    (is_well_formed && id != 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_has_an_id() {
        const ID: &str = "0af7651916cd43dd8448eb211c80319c";
        let whole = format!("00-{ID}-b7ad6b7169203331-01");
        let id = u128::from_str_radix(ID, 16).unwrap();
        assert_eq!(trace_id(whole.as_bytes()), Some(id));
        let later = format!("cc-{ID}-b7ad6b7169203331-01-what-comes-later");
        assert_eq!(trace_id(later.as_bytes()), Some(id));
        for malformed in [
            String::new(),
            whole[..54].to_owned(),
            format!("{whole}-"),
            format!("{whole}0"),
            whole.replace('a', "A"),
            whole.replace("00-", "ff-"),
            whole.replace(ID, &"0".repeat(32)),
            whole.replace("b7ad6b7169203331", &"0".repeat(16)),
            whole.replace("-b7", "0b7"),
            whole.replace("-01", "-0g"),
            later.replace("-what", ".what"),
        ] {
            assert_eq!(trace_id(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
