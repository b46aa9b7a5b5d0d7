//! Each mistake that a signer can make is named.

use super::*;

const NAMES: &str = "content-type;host;x-a;x-sdk-date";

/// A request as it is sent, with this authorization.
fn sent(target: &str, body: &str, authorization: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: gw.example:8443\r\nContent-Type: application/json; charset=utf-8\r\nX-A:  a  b \r\nX-Sdk-Date: {DATE}\r\n{authorization}\r\n\r\n{body}"
    )
}

/// What is said of a request whose canonical form its signer has changed.
fn explained(target: &str, body: &str, change: impl Fn(&str) -> String, names: &str) -> Value {
    let wrong = json(sent(target, body, &authorization(names, "0")));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let changed = change(canonical);
    assert_ne!(canonical, changed, "nothing was changed");
    let signature = signature(&changed, "MARKERsecret");
    json(sent(target, body, &authorization(names, &signature)))
}

/// Says what is said when the signer has signed `to` in the place of `from`.
pub(super) fn explanation(target: &str, body: &str, from: &str, to: &str) -> String {
    let change = |canonical: &str| canonical.replacen(from, to, 1);
    let out = explained(target, body, change, NAMES);
    assert_eq!(out["reason"], "the signature does not match");
    assert!(
        out["string_to_sign"]
            .as_str()
            .unwrap()
            .starts_with("SDK-HMAC-SHA256\n")
    );
    out["explanation"].as_str().unwrap().to_owned()
}

fn hash(body: &str) -> String {
    crate::signature::PayloadHash::of(body.as_bytes())
        .as_str()
        .to_owned()
}

#[test]
fn mistakes_with_the_body_are_named() {
    let other = |body: &str, signed: &str| explanation("/", body, &hash(body), signed);
    for (body, signed, expected) in [
        (
            "x",
            "UNSIGNED-PAYLOAD".to_owned(),
            "signed as UNSIGNED-PAYLOAD",
        ),
        ("x", hash(""), "signed as empty"),
        ("x", hash("x").to_uppercase(), "in capital letters"),
        ("x", String::new(), "nothing was signed"),
        ("x\n", hash("x"), "without the line feed"),
        ("x\r\n", hash("x"), "without the line end"),
        ("x", hash("x\n"), "with a line feed at its end"),
        ("x", hash("x\r\n"), "with CR LF at its end"),
        ("x\r\ny", hash("x\ny"), "lines that end with LF"),
        ("x\ny", hash("x\r\ny"), "lines that end with CR LF"),
    ] {
        let said = other(body, &signed);
        assert!(said.contains(expected), "{said}");
    }
    let declared = format!(
        "X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\n{}",
        authorization(NAMES, &"0".repeat(64))
    );
    let raw = sent("/", "x", &declared);
    let canonical = json(&raw)["canonical_request"].as_str().unwrap().to_owned();
    let signature = signature(
        &canonical.replace("UNSIGNED-PAYLOAD", &hash("x")),
        "MARKERsecret",
    );
    let said = json(raw.replace(&"0".repeat(64), &signature));
    assert!(
        said["explanation"]
            .as_str()
            .unwrap()
            .starts_with("the hash of the body was signed;")
    );
}

#[test]
fn mistakes_with_the_method_and_the_headers_are_named() {
    for (from, to, expected) in [
        ("POST", "post", "signed as \"post\""),
        ("POST", "Post", "signed as \"Post\""),
        ("POST", "GET", "signed as GET"),
        ("gw.example:8443", "gw.example", "without its port"),
        ("gw.example:8443", "gw.example:443", "with the port 443"),
        ("gw.example:8443", "gw.example:80", "with the port 80"),
        ("json; charset=utf-8", "json", "without its parameters"),
        (
            "json; charset=utf-8",
            "json;charset=UTF-8",
            "with another parameter",
        ),
        ("x-a:a  b", "x-a: a  b ", "with the blanks around them"),
        ("x-a:a  b", "x-a:a b", "were signed as one"),
        ("\n\ncontent-type;", "\ncontent-type;", "empty line between"),
        ("\n\ncontent-type:", "\n\nContent-Type:", "no known mistake"),
    ] {
        let said = explanation("/", "", from, to);
        assert!(said.contains(expected), "{to}: {said}");
    }
    let said = explained("/", "", |canonical| format!("{canonical}\n"), NAMES);
    assert!(
        said["explanation"]
            .as_str()
            .unwrap()
            .contains("a line end was signed")
    );
}

#[test]
fn mistakes_with_the_names_of_headers_are_named() {
    let order = "host;content-type;x-sdk-date;x-a";
    let letters = "Content-Type;Host;X-A;X-Sdk-Date";
    let lines = |canonical: &str, names: &str| {
        let (first, rest) = canonical.split_at(canonical.find("content-type").unwrap());
        let headers: Vec<&str> = rest.split('\n').take(4).collect();
        let line = |name: &str| {
            let is_it = |line: &&&str| line.starts_with(&format!("{}:", name.to_lowercase()));
            let value = headers
                .iter()
                .find(is_it)
                .unwrap()
                .split_once(':')
                .unwrap()
                .1;
            format!("{name}:{value}\n")
        };
        let block: String = names.split(';').map(line).collect();
        format!("{first}{block}\n{names}\n{}", hash(""))
    };
    let list = |canonical: &str, names: &str| canonical.replace(NAMES, names);
    for (names, expected) in [
        (order, "were not sorted"),
        (letters, "with capital letters"),
    ] {
        for said in [
            explained("/", "", |canonical| list(canonical, names), names),
            explained("/", "", |canonical| lines(canonical, names), names),
        ] {
            let said = said["explanation"].as_str().unwrap();
            assert!(said.contains(expected), "{names}: {said}");
        }
    }
}

#[test]
fn spellings_that_only_the_signer_changed_are_named() {
    let in_capitals = |authorization: &str| {
        sent("/", "", authorization).replace("Host: gw.example", "Host: GW.Example")
    };
    let wrong = json(in_capitals(&authorization(NAMES, "0")));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let signature = signature(
        &canonical.replace("GW.Example", "gw.example"),
        "MARKERsecret",
    );
    let said = json(in_capitals(&authorization(NAMES, &signature)));
    assert!(
        said["explanation"]
            .as_str()
            .unwrap()
            .contains("host was signed in small letters")
    );
    // The names come in another order than the one in which they were signed.
    let names = "Host;X-A;Content-Type;X-Sdk-Date";
    let sorted = "Content-Type;Host;X-A;X-Sdk-Date";
    let said = explained("/", "", |canonical| canonical.replace(NAMES, sorted), names);
    assert!(
        said["explanation"]
            .as_str()
            .unwrap()
            .contains("with capital letters")
    );
}

#[test]
fn mistakes_with_the_key_and_the_signature_are_named() {
    let wrong = json(sent("/", "", &authorization(NAMES, "0")));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let with = |key: &Credentials, signature: &str| {
        let raw = sent("/", "", &authorization(NAMES, signature));
        said(&arguments(), key, raw).unwrap().0
    };
    for (secret, expected) in [
        ("MARKERsecret\n", "a line feed at its end"),
        ("MARKERsecret\r\n", "CR LF at its end"),
        ("MARKERsecret ", "a blank at its end"),
        (" MARKERsecret", "a blank before it"),
        ("\"MARKERsecret\"", "with quotes around it"),
        ("SDKMARKERsecret", "before it, as the older form"),
        ("AK", "the access key id was used"),
        ("MARKERother", "no known mistake"),
    ] {
        let said = with(&key(), &signature(canonical, secret));
        let expected = expected.replace('"', "\\\"");
        assert!(said.contains(&expected), "{said}");
    }
    let blank = Credentials {
        secret_key: "MARKERsecret ".into(),
        ..key()
    };
    let said = with(&blank, &signature(canonical, "MARKERsecret"));
    assert!(said.contains("taken off"), "{said}");
    let said = with(&key(), "SGVsbG8=");
    assert!(said.contains("is not 64 hexadecimal digits"), "{said}");
    let said = with(&key(), &signature(canonical, "MARKERsecret").to_uppercase());
    assert!(
        said.contains("the signature is written in capital letters"),
        "{said}"
    );
}

#[test]
fn two_mistakes_at_once_are_both_named_with_the_lines_that_differ() {
    let change = |canonical: &str| {
        canonical
            .replacen("/a/\n", "/a\n", 1)
            .replacen("gw.example:8443", "gw.example", 1)
    };
    let out = explained("/a", "", change, NAMES);
    let said = out["explanation"].as_str().unwrap();
    assert!(
        said.contains("closing slash")
            && said.contains("; and besides, the host was signed without its port"),
        "{said}"
    );
    let wrong = json(sent("/a", "", &authorization(NAMES, "0")));
    let canonical = change(wrong["canonical_request"].as_str().unwrap());
    let text = VerifyArguments {
        format: Format::Text,
        ..arguments()
    };
    let with_key = signature(
        &canonical.replacen("gw.example\n", "gw.example:8443\n", 1),
        "MARKERsecret\n",
    );
    let raw = sent("/a", "", &authorization(NAMES, &with_key));
    let (out, _) = super::said(&text, &key(), raw).unwrap();
    assert!(
        out.contains("the secret key was used with a line feed")
            && out.contains("\n  expected  /a/\n  signed    /a\n\ncanonical request, as it is expected:\nPOST\n/a/\n")
            && out.contains("\n\nstring to sign:\nSDK-HMAC-SHA256\n"),
        "{out}"
    );
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let wrong = json(sent("/%1b[31m", "", &authorization(NAMES, "0")));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let plain = canonical.replacen("/%1B%5B31m/", "/\u{1b}[31m/", 1);
    let raw = sent(
        "/%1b[31m",
        "",
        &authorization(NAMES, &signature(&plain, "MARKERsecret")),
    );
    let text = VerifyArguments {
        format: Format::Text,
        ..arguments()
    };
    let (out, _) = said(&text, &key(), raw).unwrap();
    assert!(
        out.contains("was not encoded") && !out.contains('\u{1b}'),
        "{out}"
    );
}
