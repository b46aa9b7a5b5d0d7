//! The ways in which a byte of a secret may be spelled.

/// The most backslashes before an escaped byte.
const BACKSLASHES: usize = 4;

/// How often a percent sign may be encoded again.
const RECODED: usize = 2;

/// The longest text between `&` and `;`.
const ENTITY: usize = 9;

/// Calls `found` with the length of every spelling of a byte that a text begins with. Whether the text
/// may be the beginning of a spelling, and ends too early to tell.
pub(super) fn spellings(text: &[u8], byte: u8, found: &mut impl FnMut(usize)) -> bool {
    let Some(first) = text.first() else {
        return true;
    };
    if *first == byte {
        found(1);
    }
    match first {
        b'\\' => escaped(text, byte, found),
        b'%' => percent_encoded(text, byte, found),
        b'&' => entity(text, byte, found),
        _ => false,
    }
}

fn escaped(text: &[u8], byte: u8, found: &mut impl FnMut(usize)) -> bool {
    let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
    if byte == b'\\' {
        (2..=slashes.min(BACKSLASHES))
            .step_by(2)
            .for_each(&mut *found);
    }
    if slashes > BACKSLASHES {
        return false;
    }
    let rest = &text[slashes..];
    let (digits, skipped) = match rest.first() {
        None => return true,
        Some(b'u') => (b"00".as_slice(), 1),
        Some(b'x') => (b"".as_slice(), 1),
        Some(letter) => {
            if *letter == byte && b"/\"'".contains(letter) {
                found(slashes + 1);
            }
            return false;
        }
    };
    let rest = &rest[skipped..];
    let common = rest.len().min(digits.len());
    if rest[..common] != digits[..common] {
        return false;
    }
    match hex(&rest[common..]) {
        Hex::Byte(value) if value == byte && common == digits.len() => {
            found(slashes + skipped + digits.len() + 2);
            false
        }
        Hex::CutOff => true,
        Hex::Byte(_) | Hex::Other => false,
    }
}

fn percent_encoded(text: &[u8], byte: u8, found: &mut impl FnMut(usize)) -> bool {
    let mut at = 1;
    for _ in 0..=RECODED {
        match hex(&text[at..]) {
            Hex::Byte(value) if value == byte => found(at + 2),
            Hex::Byte(_) => {}
            Hex::CutOff => return true,
            Hex::Other => return false,
        }
        if !text[at..].starts_with(b"25") {
            return false;
        }
        at += 2;
    }
    false
}

fn entity(text: &[u8], byte: u8, found: &mut impl FnMut(usize)) -> bool {
    let rest = &text[1..];
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    let length = rest.iter().take_while(|byte| is_part(byte)).count();
    if length > ENTITY {
        return false;
    }
    if length == rest.len() {
        return true;
    }
    if rest[length] != b';' {
        return false;
    }
    let name = str::from_utf8(&rest[..length]).unwrap_or_default();
    let number = name.strip_prefix('#').and_then(|number| {
        let hex = number.strip_prefix(['x', 'X']);
        hex.map_or_else(
            || number.parse().ok(),
            |hex| u32::from_str_radix(hex, 16).ok(),
        )
    });
    let value = match name {
        "amp" => Some(u32::from(b'&')),
        "lt" => Some(u32::from(b'<')),
        "gt" => Some(u32::from(b'>')),
        "quot" => Some(u32::from(b'"')),
        "apos" => Some(u32::from(b'\'')),
        "sol" => Some(u32::from(b'/')),
        "plus" => Some(u32::from(b'+')),
        "equals" => Some(u32::from(b'=')),
        _ => number,
    };
    if value == Some(u32::from(byte)) {
        found(length + 2);
    }
    false
}

/// What two hexadecimal digits say.
enum Hex {
    Byte(u8),
    CutOff,
    Other,
}

fn hex(text: &[u8]) -> Hex {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = |byte: u8| digit(byte).and_then(|digit| u8::try_from(digit).ok());
    match text {
        [] => Hex::CutOff,
        [one] if value(*one).is_some() => Hex::CutOff,
        [high, low, ..] => match (value(*high), value(*low)) {
            (Some(high), Some(low)) => Hex::Byte(high << 4 | low),
            _ => Hex::Other,
        },
        [_] => Hex::Other,
    }
}
