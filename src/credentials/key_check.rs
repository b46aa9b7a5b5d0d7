//! Recognises what cannot be a key before it is used: placeholders, quotes, keys in the wrong place
//! and keys of other clouds.
//!
//! The gateway would refuse each request with such a key, and locks a key after some refusals; a
//! secret key in place of the access key would even be sent. The texts are fixed, so that they
//! cannot contain what was read; each continues a sentence that begins with the origin of the key.

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::zeroize::Zeroizing;

type IsWrong = fn(&str) -> bool;

/// Checks of both parts of a key, in order, and the problem that each finds.
const EITHER: [(IsWrong, &str); 5] = [
    (
        is_quoted,
        "holds a key with quotes around it\n\
        hint: write it without them; env files and profiles take quotes as a part of the value",
    ),
    (
        is_placeholder,
        "holds a placeholder instead of a key\n\
        hint: write your own in its place",
    ),
    (
        has_invisible,
        "holds a key with an invisible character, as copying from web pages adds\n\
        hint: copy the key again from its `credentials.csv`",
    ),
    (
        |text| text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()),
        "holds a key with an empty part, or with spaces in it\n\
        hint: copy the whole key again",
    ),
    (
        is_base64_of_key,
        "holds a key in Base64, like the `data` of a Kubernetes secret\n\
        hint: decode it, or let Kubernetes mount the secret",
    ),
];

/// Checks a token, an app code or an API key.
pub(super) fn check_text(text: &str) -> Result<(), &'static str> {
    let found = EITHER[..2].iter().find(|(is_wrong, _)| is_wrong(text));
    found.map_or(Ok(()), |(_, problem)| Err(problem))
}

/// Checks an access key, its secret key and the token of a temporary key.
pub(super) fn check(ak: &str, sk: &str, token: Option<&str>) -> Result<(), &'static str> {
    const SECRET_KEY: &str = "holds a secret key in place of the access key\n\
        hint: swap them; an access key has 20 capital letters and digits, a secret key has 40 characters";
    const ACCESS_KEY: &str = "holds an access key in place of the secret key\n\
        hint: give the secret key; it has 40 characters and is shown only once, so create a new access key if it is lost";
    const AWS: &str = "holds a key of another cloud, AWS\nhint: use one of Huawei Cloud";
    const ALIYUN: &str =
        "holds a key of another cloud, Alibaba Cloud (Aliyun)\nhint: use one of Huawei Cloud";
    const TENCENT: &str =
        "holds a key of another cloud, Tencent Cloud\nhint: use one of Huawei Cloud";
    const CHARACTERS: &str = "holds a key with characters that are not allowed in one\n\
        hint: copy it again from its `credentials.csv`";
    const TOKEN: &str = "holds a security token that is empty, or has characters that are not allowed in one\n\
        hint: copy the whole token again";
    let either = EITHER
        .iter()
        .find(|(is_wrong, _)| is_wrong(ak) || is_wrong(sk));
    let begins = |starts: &[&str]| starts.iter().any(|start| ak.starts_with(start));
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let problem = match either {
        Some((_, problem)) => problem,
        None if is_secret_key(ak) => SECRET_KEY,
        None if ak == sk || is_access_key(sk) => ACCESS_KEY,
        None if begins(&["AKIA", "ASIA"]) && ak.len() == 20 => AWS,
        None if begins(&["LTAI", "STS."]) => ALIYUN,
        None if begins(&["AKID"]) && ak.len() == 36 => TENCENT,
        // Both are header values or sign them, and a comma ends the access key in its header.
        None if ak.contains(',') || !is_visible(ak) || !is_visible(sk) => CHARACTERS,
        None if token.is_some_and(|token| token.is_empty() || !is_visible(token)) => TOKEN,
        None => return Ok(()),
    };
    Err(problem)
}

fn is_quoted(text: &str) -> bool {
    const QUOTES: [char; 7] = [
        '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
    ];
    text.chars().count() > 1 && text.starts_with(QUOTES) && text.ends_with(QUOTES)
}

/// Recognises `<your-ak>`, `${SK}`, `$SK`, `%SK%`, `{{ sk }}`, `xxxx`, `****`, and text that ends with dots.
fn is_placeholder(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    let is_variable = text
        .strip_prefix(['$', '%'])
        .is_some_and(|name| name.trim_end_matches('%').bytes().all(is_name));
    let is_enclosed = ["<>", "{}", "[]"]
        .iter()
        .any(|pair| text.starts_with(&pair[..1]) && text.ends_with(&pair[1..]));
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let is_yours = lower.starts_with("your-") || lower.starts_with("your_");
    let mut chars = text.chars();
    let first = chars.next();
    let is_one_character = text.len() > 2 && chars.all(|c| Some(c) == first);
    let is_cut = text.contains('\u{2026}') || text.ends_with("...");
    is_variable || is_enclosed || text.contains("${") || is_yours || is_one_character || is_cut
}

fn has_invisible(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    })
}

/// True for an access key in the format of the console.
pub(super) fn is_access_key(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    text.len() == 20 && text.bytes().all(is_part)
}

/// True for a secret key in the format of the console.
pub(super) fn is_secret_key(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    text.len() == 40 && is_mixed && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_base64_of_key(text: &str) -> bool {
    let decoded = BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('='));
    let decoded = Zeroizing::new(decoded.unwrap_or_default());
    // `echo` adds a line feed.
    let key = str::from_utf8(decoded.trim_ascii_end()).unwrap_or_default();
    is_access_key(key) || is_secret_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AK: &str = "QTWAOYTTINDUT2QVKYUC";
    const SK: &str = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc";

    #[test]
    fn what_cannot_be_a_key_is_refused_with_a_sentence_of_its_own() {
        let token = |text: &str| check(AK, SK, Some(text));
        assert_eq!(check(AK, SK, Some("tok/en+==")), Ok(()));
        assert!(token("").is_err() && token("a b").is_err() && token("\u{e9}").is_err());
        // Those of an app may be chosen.
        assert_eq!(check("my1", r##"a\n"b'#;=%x"##, None), Ok(()));
        let base64_line = "TUZ5ZnZLNDFiYTJnaXFNN1VpbzZQem5wZFVLR3Bvd25SWmxtVm1IYwo=";
        for (access_key, secret_key, expected) in [
            ("\"MARKER\"", SK, "quotes around"),
            (AK, "'MARKER'", "quotes around"),
            ("<your-ak>", "<your-sk>", "placeholder"),
            (AK, "${SK}", "placeholder"),
            (AK, "%SK%", "placeholder"),
            (AK, "{{ .Values.sk }}", "placeholder"),
            (AK, "xxxxxxxx", "placeholder"),
            (AK, "MFyfvK41ba2giqM7\u{2026}", "placeholder"),
            (AK, &format!("{SK}\u{200b}"), "invisible"),
            (AK, "", "empty part"),
            (AK, "MARKER x", "empty part"),
            ("UVRXQU9ZVFRJTkRVVDJRVktZVUM=", SK, "Base64"),
            (AK, base64_line, "Base64"),
            (SK, AK, "a secret key in place of the access key"),
            (AK, AK, "an access key in place of the secret key"),
            ("AKIA0000000000000000", SK, "AWS"),
            ("LTAI5tMARKER", SK, "Aliyun"),
            ("AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA", SK, "Tencent"),
            ("A,K", SK, "not allowed"),
            (AK, "MARKER\u{e9}", "not allowed"),
        ] {
            let problem = check(access_key, secret_key, None).unwrap_err();
            assert!(problem.contains(expected), "{expected}: {problem}");
        }
    }
}
