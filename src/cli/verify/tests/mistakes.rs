//! Mistakes that are named.

use super::*;

/// The target and the body as sent, what is in the canonical request, what is signed in its place, and the
/// explanation.
const MISTAKES: &str = r#"
/v1/a/ |  | /v1/a/ | /v1/a | without the closing slash
/a:b |  | /a%3Ab/ | /a:b/ | signed as it is sent
/a%20b |  | /a%20b/ | /a%2520b/ | encoded twice
/a%2fb%20 |  | /a/b%20/ | /a%2Fb%20/ | with `%2F`
/a//b |  | /a//b/ | /a/b/ | without its empty segments
/%28%3A |  | /%28%3A/ | /(%3A/ | `encodeURIComponent`
/?b=1&a=%2B |  | a=%2B&b=1 | b=1&a=%2B | signed unsorted
/?a0=1&a%3A=2&b=1&b=%3A |  | a0=1&a%3A=2&b=1&b=%3A | a%3A=2&a0=1&b=%3A&b=1 | encoded names and values
/?b=2&b=1&a=0 |  | a=0&b=1&b=2 | a=0&b=2&b=1 | sorted by encoded names only
/?B=2&a=1&C=3 |  | B=2&C=3&a=1 | a=1&B=2&C=3 | without regard to case
/?q=a+b |  | q=a%2Bb | q=a%20b | with `+` as a space
/?q=a%20b |  | q=a%20b | q=a+b | a space as `+`
/?q=%20 |  | q=%20 | q=%2520 | encoded twice
/?q=1 |  | q=1 |  | signed as empty
/?a=1;b&c=2 |  | a=1%3Bb&c=2 | c=2 | without pairs that have `;`
/?b&a=%3A |  | a=%3A&b= | a=%3A&b | without `=`
/?=v&a=1 |  | =v&a=1 | a=1 | have no name
/ | x | #x | UNSIGNED-PAYLOAD | signed as `UNSIGNED-PAYLOAD`
/ | x | #x | # | signed as empty
/ |  | # | #{} | signed as `{}`
/ | x\n | #x\n | #x | without the line feed
/ | x | #x | #x\n | with a line feed at its end
/ | \u{feff}x | #\u{feff}x | #x | byte order mark
/ | {"b": [1, 2]} | #{"b": [1, 2]} | #{"b":[1,2]} | JSON without spaces
/ | {"b":[1,2],"a":3} | #{"b":[1,2],"a":3} | #{"b": [1, 2], "a": 3} | JSON with spaces after
/ | {"b":{"d":1,"c":2},"a":3} | #{"b":{"d":1,"c":2},"a":3} | #{"a":3,"b":{"c":2,"d":1}} | JSON with sorted names
/ | 中 | #中 | #? | sent as UTF-8
/ | [1,"𝄞"] | #[1,"𝄞"] | #[1, "\\ud834\\udd1e"] | with spaces, and escapes
/ | ?? | #?? | #中文 | ISO-8859-1
/ | x | #x | #y | no known mistake
/ |  | POST | GET | signed as `GET`
/ |  | POST | post | signed in lower case
/ |  | gw.example:8443 | gw.example | without its port
/ |  | json; charset=utf-8 | json | without its parameters
/ |  | x-a:a  b | x-a:a b | in their values as one
/ |  | x-a:a  b | x-a: a  b  | with the blanks around their values
"#;

#[test]
fn each_known_mistake_is_named() {
    let unescaped = |cell: &str| {
        let cell = cell.replace("\\n", "\n").replace("\\u{feff}", "\u{feff}");
        cell.replace("\\\\", "\\")
    };
    for row in MISTAKES.trim().lines() {
        let cells: Vec<String> = row.split(" | ").map(unescaped).collect();
        let hashed = |cell: &str| cell.strip_prefix('#').map_or_else(|| cell.to_owned(), hash);
        let raw = signed(&cells[0], &cells[1], |canonical| {
            let lines = |cell: &str| format!("\n{}", hashed(cell));
            let (from, to) = match &*cells[2] {
                part if part.starts_with(['/', '#']) || cells[0].contains('?') => {
                    (lines(part), lines(&cells[3]))
                }
                part => (part.to_owned(), cells[3].clone()),
            };
            let changed = canonical.replacen(&from, &to, 1);
            assert_ne!(canonical, changed, "{row}");
            changed
        });
        let report = text(&raw);
        assert!(report.starts_with("not verified: the signature does not match\nwhat differs: "));
        assert!(report.contains(&cells[4]), "{row}: {report}");
    }
    let raw = right("/", "x").replacen("\r\n", "\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\n", 1);
    assert!(text(&raw).contains("signed by its hash, against `X-Sdk"));
    let names = "x-sdk-date;host;x-a;content-type";
    let unsorted = format!(
        "POST\n/\n\nx-sdk-date:{DATE}\nhost:gw.example:8443\nx-a:a  b\n\
         content-type:application/json; charset=utf-8\n\n{names}\n{}",
        hash("")
    );
    let raw = sent("/", "", names, &signature(&unsorted, "MARKERsecret"));
    assert!(text(&raw).contains("unsorted, in the order of `SignedHeaders`"));
    for (body, sent, expected) in [
        (
            "caf\u{e9}",
            &b"caf\xe9"[..],
            "signed as UTF-8, and is sent as ISO-8859-1",
        ),
        ("中文", b"\xd6\xd0\xce\xc4", "perhaps GBK"),
    ] {
        let raw = right("/", body);
        let head = raw.strip_suffix(body).unwrap().as_bytes();
        assert!(text([head, sent].concat()).contains(expected), "{expected}");
    }
}

#[test]
fn mistakes_with_the_key_and_the_signature_are_named() {
    let canonical = canonical(&sent("/", "", NAMES, "0"));
    for (signature, expected) in [
        (
            signature(&canonical, "MARKERsecret\n"),
            "a line feed at its end",
        ),
        (signature(&canonical, "MARKERsecret "), "a space at its end"),
        (signature(&canonical, "MARKERother"), "no known mistake"),
        ("SGVsbG8=".to_owned(), "is not 64 hexadecimal digits"),
    ] {
        assert!(
            text(sent("/", "", NAMES, &signature)).contains(expected),
            "{expected}"
        );
    }
}
