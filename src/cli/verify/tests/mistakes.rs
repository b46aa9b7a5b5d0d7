//! Each known mistake of signers is named.

use super::*;

/// Checks the explanations of requests whose signers have signed `to` in place of `from`.
#[track_caller]
fn explained(target: &str, body: &str, from: &str, to: &str, expected: &str) {
    let raw = signed(target, body, NAMES, |canonical| {
        let changed = canonical.replacen(from, to, 1);
        assert_ne!(canonical, changed, "{from:?} is not in it");
        changed
    });
    let text = text(&raw);
    assert!(text.starts_with("not verified: the signature does not match\nwhat differs: "));
    assert!(text.contains(expected), "{target} {body:?} {to:?}: {text}");
}

/// The body as sent, the body or the text that is signed in place of its hash, and the explanation.
const BODIES: [(&str, &str, &str); 15] = [
    ("x", "UNSIGNED-PAYLOAD", "signed as `UNSIGNED-PAYLOAD`"),
    ("x", "", "signed as empty"),
    ("", "{}", "signed as `{}`"),
    ("x\n", "x", "without the line feed"),
    ("x", "x\n", "with a line feed at its end"),
    ("x\r\ny", "x\ny", "with LF as line ends"),
    ("\u{feff}x", "x", "byte order mark"),
    ("{\"b\": [1, 2]}", "{\"b\":[1,2]}", "JSON without spaces"),
    (
        "{\"b\":[1,2],\"a\":3}",
        "{\"b\": [1, 2], \"a\": 3}",
        "JSON with spaces after",
    ),
    (
        "{\"b\":[1,2],\"a\":3}",
        "{\"a\":3,\"b\":[1,2]}",
        "JSON with sorted keys",
    ),
    (
        "{\"a\":[1]}",
        "{\n  \"a\": [\n    1\n  ]\n}",
        "indented JSON",
    ),
    (
        "[\"\u{e9}\u{1d11e}\"]",
        "[\"\\u00e9\\ud834\\udd1e\"]",
        "escapes for all but ASCII",
    ),
    (
        "[1,\"\u{e9}\"]",
        "[1, \"\\u00e9\"]",
        "with spaces, and escapes for all but ASCII",
    ),
    ("x", "x\r\n\n", "no known mistake"),
    ("??", "中文", "ISO-8859-1"),
];

#[test]
fn mistakes_with_the_body_are_named() {
    for (body, signed, expected) in BODIES {
        let signed = if signed == "UNSIGNED-PAYLOAD" {
            signed.to_owned()
        } else {
            hash(signed)
        };
        explained("/", body, &hash(body), &signed, expected);
    }
    explained(
        "/",
        "x",
        &hash("x"),
        &format!("{}\n", hash("x")),
        "with a line end after its hash",
    );
    let raw = right("/", "x").replacen("\r\n", "\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\n", 1);
    assert!(text(&raw).contains("signed by its hash, against `X-Sdk"));
}

#[test]
fn bodies_in_another_encoding_than_the_signed_one_are_named() {
    for (text_of_body, sent, expected) in [
        (
            "caf\u{e9}",
            &b"caf\xe9"[..],
            "signed as UTF-8, and is sent as ISO-8859-1",
        ),
        ("中文", b"\xd6\xd0\xce\xc4", "perhaps GBK"),
    ] {
        let raw = right("/", text_of_body);
        let head = raw.strip_suffix(text_of_body).unwrap();
        let report = text([head.as_bytes(), sent].concat());
        assert!(report.contains(expected), "{report}");
    }
    let latin = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"caf\xe9"));
    let expected = "signed as ISO-8859-1, and is sent as UTF-8";
    explained("/", "caf\u{e9}", &hash("caf\u{e9}"), &latin, expected);
}

/// The target as sent, what is expected in the canonical request, what is signed, and the explanation.
const TARGETS: &str = r#"
/v1/a/ | /v1/a/ | /v1/a | without the closing slash
/a:b | /a%3Ab/ | /a:b/ | signed as it is sent
/a:b | /a%3Ab/ | /a:b | as it is sent, without the closing slash
/a%20b | /a%20b/ | /a b/ | without encoding
/a%20b | /a%20b/ | /a%2520b/ | encoded twice
/a%2fb%20 | /a/b%20/ | /a%2Fb%20/ | with `%2F`
/a//b/./c/../d | /a//b/./c/../d/ | /a/b/d/ | empty and dot segments
/%28%3A | /%28%3A/ | /(%3A/ | `encodeURIComponent`
/%C3%A9 | /%C3%A9/ | /%c3%a9/ | escapes in lower case
/?b=1&a=%2B | a=%2B&b=1 | b=1&a=%2B | signed unsorted
/?a0=1&a%3A=2&b=1&b=%3A | a0=1&a%3A=2&b=1&b=%3A | a%3A=2&a0=1&b=%3A&b=1 | encoded names and values
/?b=2&b=1&a=0 | a=0&b=1&b=2 | a=0&b=2&b=1 | sorted by encoded names only
/?B=2&a=1&C=3 | B=2&C=3&a=1 | a=1&B=2&C=3 | without regard to case
/?q=a+b | q=a%2Bb | q=a%20b | with `+` as a space
/?q=a%20b | q=a%20b | q=a%2Bb | a space as `%2B`
/?q=a%20b | q=a%20b | q=a+b | a space as `+`
/?q=:&a=/ | a=%2F&q=%3A | q=:&a=/ | signed as it is sent
/?q=%20 | q=%20 | q=%2520 | encoded twice
/?q=%28%3A | q=%28%3A | q=(%3A | `encodeURIComponent`
/?q=%C3%A9 | q=%C3%A9 | q=%c3%a9 | escapes in lower case
/?q=1 | q=1 |  | signed as empty
/?a=1;b&c=2 | a=1%3Bb&c=2 | c=2 | without pairs that have `;`
/?b&a=%3A | a=%3A&b= | a=%3A&b | without `=`
/?=v&a=1 | =v&a=1 | a=1 | have no name
"#;

#[test]
fn mistakes_with_the_path_and_the_query_are_named() {
    for row in TARGETS.trim().lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let line = |cell: &str| format!("\n{cell}\n");
        explained(cells[0], "", &line(cells[1]), &line(cells[2]), cells[3]);
    }
}

#[test]
fn mistakes_with_the_method_and_the_headers_are_named() {
    for (from, to, expected) in [
        ("POST", "GET", "signed as `GET`"),
        ("POST", "post", "signed in lower case"),
        ("gw.example:8443", "gw.example", "without its port"),
        ("json; charset=utf-8", "json", "without its parameters"),
        ("x-a:a  b", "x-a: a  b ", "spaces around their values"),
        ("x-a:a  b", "x-a:a b", "in their values as one"),
        (
            "\n\ncontent-type;",
            "\ncontent-type;",
            "without the empty line",
        ),
        ("\n\ncontent-type:", "\n\nContent-Type:", "no known mistake"),
    ] {
        explained("/", "", from, to, expected);
    }
    for (names, expected) in [
        (
            "host;content-type;x-sdk-date;x-a",
            "headers were signed unsorted",
        ),
        (
            "Content-Type;Host;X-A;X-Sdk-Date",
            "upper case letters in their names",
        ),
    ] {
        let raw = signed("/", "", names, |canonical| {
            let (start, rest) = canonical.split_at(canonical.find("content-type").unwrap());
            let line = |name: &str| {
                let mut lines = rest.lines();
                let line = lines.find(|line| line.starts_with(&(name.to_lowercase() + ":")));
                format!("{name}:{}\n", line.unwrap().split_once(':').unwrap().1)
            };
            let lines: String = names.split(';').map(line).collect();
            format!("{start}{lines}\n{names}\n{}", hash(""))
        });
        assert!(text(&raw).contains(expected), "{names}: {}", text(&raw));
    }
}

#[test]
fn mistakes_with_the_key_and_the_signature_are_named() {
    let canonical = json(sent("/", "", &authorization(NAMES, "0")));
    let canonical = canonical["canonical_request"].as_str().unwrap();
    let with = |signature: &str| sent("/", "", &authorization(NAMES, signature));
    for (secret, expected) in [
        ("MARKERsecret\n", "a line feed at its end"),
        ("MARKERsecret ", "a space at its end"),
        ("MARKERother", "no known mistake"),
    ] {
        let text = text(with(&signature(canonical, secret)));
        assert!(text.contains(expected), "{text}");
    }
    let right = signature(canonical, "MARKERsecret");
    let blank = reported(&arguments(), &key("AK", "MARKERsecret "), with(&right));
    assert!(blank.unwrap().0.contains("without the spaces around it"));
    assert!(text(with("SGVsbG8=")).contains("is not 64 hexadecimal digits"));
    let capitals = text(with(&right.to_uppercase()));
    assert!(
        capitals.contains("the signature is written in upper case"),
        "{capitals}"
    );
}

#[test]
fn two_mistakes_are_both_named_with_the_lines_that_differ() {
    let change = |canonical: &str| {
        let canonical = canonical.replacen("/a/\n", "/a\n", 1);
        canonical.replacen("gw.example:8443", "gw.example", 1)
    };
    let text = text(signed("/a", "", NAMES, change));
    for part in [
        "closing slash",
        "; and besides, the headers were signed with the host without its port",
        "\n  expected  /a/\n  signed    /a\n  expected  host:gw.example:8443\n  signed    host:gw.example\n",
        "\n\ncanonical request, as it is expected:\nPOST\n/a/\n",
        "\n\nstring to sign:\nSDK-HMAC-SHA256\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn secrets_and_terminal_escapes_are_not_printed() {
    let raw = signed("/%1b[31m", "", NAMES, |canonical| {
        canonical.replacen("/%1B%5B31m/", "/\u{1b}[31m/", 1)
    });
    let escaped = text(&raw);
    assert!(
        escaped.contains("without encoding") && !escaped.contains('\u{1b}'),
        "{escaped}"
    );
    let names = "cookie;host;x-sdk-date;x-security-token";
    let raw = sent("/", "", &authorization(names, &"0".repeat(64)));
    let raw = raw.replace(
        "Host:",
        "X-Security-Token: MARKER\r\nCookie: MARKER\r\nHost:",
    );
    assert!(
        text(&raw).contains("x-security-token:[redacted]"),
        "{}",
        text(&raw)
    );
    assert!(
        json(&raw)["canonical_request"]
            .as_str()
            .unwrap()
            .contains("cookie:[redacted]")
    );
}
