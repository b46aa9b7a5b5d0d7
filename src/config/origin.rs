//! Origins of web pages (`access.origins`). They are compared with what browsers send, so an entry that no
//! browser sends is an error: it would never match.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const EXPECTED: &str = "expected origins like \"http://localhost:3000\" or \"vscode-webview://extension\": scheme, host and port";
const PATTERN: &str = "patterns are not supported, since any page could be meant; list each origin by itself, like \"http://localhost:3000\"";
const NULL: &str = "pages without an origin cannot be allowed, since any page can send null; serve the page over http and list \"http://localhost:3000\"";
const PATH: &str = "browsers send an origin without a path; write it without what follows the host, like \"http://localhost:3000\"";
const DEFAULT_PORT: &str = "browsers leave the default port out; write it without :80 or :443, like \"http://localhost\" or \"https://example.com\"";
const PORT: &str =
    "browsers send the port as a number without leading zeros, like \"http://localhost:3000\"";
const WEBSOCKET: &str = "a WebSocket is opened with the origin of its page; write http:// or https://, like \"http://localhost:3000\"";
const PUNYCODE: &str = "browsers send international names in ASCII; write the form with xn--, like \"https://xn--bcher-kva.example\"";
const ADDRESS: &str = "browsers send addresses in their shortest form; write it like \"http://127.0.0.1:3000\" or \"http://[::1]:3000\"";

/// Reads an origin of web pages, in lower case.
pub(super) fn origin(text: &str) -> Result<String, &'static str> {
    if text.contains('*') {
        return Err(PATTERN);
    }
    if text.eq_ignore_ascii_case("null") {
        return Err(NULL);
    }
    let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = default_port(&scheme)?;
    if rest.contains('@') {
        return Err(EXPECTED);
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err(PATH);
    }
    let (host, port) = host_and_port(rest);
    check_host(host, default_port.is_some())?;
    if let Some(port) = port {
        check_port(port, default_port)?;
    }
    Ok(text.to_ascii_lowercase())
}

/// The port that browsers leave out for a scheme: `http` and `https` have one, those of extensions and
/// desktop programs have none.
fn default_port(scheme: &str) -> Result<Option<u16>, &'static str> {
    match scheme {
        "http" => Ok(Some(80)),
        "https" => Ok(Some(443)),
        "ws" | "wss" => Err(WEBSOCKET),
        "file" | "data" | "blob" | "about" | "javascript" => Err(NULL),
        _ => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(is_part);
            is_scheme.then_some(None).ok_or(EXPECTED)
        }
    }
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let end_of_address = authority.find(']').map_or(0, |end| end + 1);
    match authority[end_of_address..].split_once(':') {
        Some((rest, port)) => (&authority[..end_of_address + rest.len()], Some(port)),
        None => (authority, None),
    }
}

fn check_port(port: &str, default: Option<u16>) -> Result<(), &'static str> {
    let number: u16 = port.parse().map_err(|_| PORT)?;
    if number.to_string() != port {
        return Err(PORT);
    }
    if Some(number) == default {
        return Err(DEFAULT_PORT);
    }
    Ok(())
}

/// Checks that browsers write a host like this. Those of the web have one spelling for each address.
fn check_host(host: &str, is_web: bool) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or(EXPECTED)?;
        let parsed: Ipv6Addr = address.parse().map_err(|_| EXPECTED)?;
        let shortest = match parsed.to_ipv4_mapped() {
            Some(_) => {
                let [.., high, low] = parsed.segments();
                format!("::ffff:{high:x}:{low:x}")
            }
            None => parsed.to_string(),
        };
        return (address.to_ascii_lowercase() == shortest)
            .then_some(())
            .ok_or(ADDRESS);
    }
    if !host.is_ascii() {
        return Err(PUNYCODE);
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_part) {
        return Err(EXPECTED);
    }
    let last = host.trim_end_matches('.').rsplit('.').next();
    let is_number = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_digit())
            || label.to_ascii_lowercase().starts_with("0x")
    };
    if is_web && last.is_some_and(is_number) && host.parse::<Ipv4Addr>().is_err() {
        return Err(ADDRESS);
    }
    Ok(())
}

/// Whether browsers trust a name over plain HTTP, as only a program on the same machine can have it: they
/// send fetch metadata there. The name is in lower case or not, without port and trailing dot.
#[must_use]
pub fn is_trustworthy_name(name: &str) -> bool {
    const SUFFIX: &str = ".localhost";
    let start = name.len().saturating_sub(SUFFIX.len());
    let is_below = name
        .get(start..)
        .is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX));
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address = inner.map_or_else(
        || name.parse().map(IpAddr::V4).ok(),
        |inner| inner.parse().map(IpAddr::V6).ok(),
    );
    name.eq_ignore_ascii_case("localhost")
        || is_below
        || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_browsers_send_are_taken_in_lower_case() {
        for (text, expected) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("HTTP://LocalHost:3000", "http://localhost:3000"),
            ("https://example.com", "https://example.com"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://a_b.example:80", "https://a_b.example:80"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::ffff:7f00:1]", "http://[::ffff:7f00:1]"),
            (
                "https://xn--bcher-kva.example",
                "https://xn--bcher-kva.example",
            ),
            ("vscode-webview://1a2b", "vscode-webview://1a2b"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://.", "app://."),
            ("capacitor://localhost:80", "capacitor://localhost:80"),
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
            (
                "moz-extension://C0FFEE00-0000-4000-8000-000000000000",
                "moz-extension://c0ffee00-0000-4000-8000-000000000000",
            ),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn origins_that_no_browser_sends_are_refused_with_the_spelling_to_use() {
        for (text, expected) in [
            ("", EXPECTED),
            ("localhost", EXPECTED),
            ("localhost:3000", EXPECTED),
            ("http://", EXPECTED),
            ("http://:3000", EXPECTED),
            ("http://u@a", EXPECTED),
            ("http://a b", EXPECTED),
            ("http://a%41", EXPECTED),
            ("http://[::1", EXPECTED),
            ("http://[x]", EXPECTED),
            ("ht tp://a", EXPECTED),
            ("1a://b", EXPECTED),
            ("blob:http://a", EXPECTED),
            ("*", PATTERN),
            ("http://*", PATTERN),
            ("http://localhost:*", PATTERN),
            ("http://*.example.com", PATTERN),
            ("null", NULL),
            ("file://", NULL),
            ("file:///x", NULL),
            ("http://a/", PATH),
            ("http://a/b", PATH),
            ("http://a:3000/", PATH),
            ("http://a?b", PATH),
            ("http://a#b", PATH),
            ("http://localhost:80", DEFAULT_PORT),
            ("https://example.com:443", DEFAULT_PORT),
            ("HTTPS://example.com:443", DEFAULT_PORT),
            ("http://a:", PORT),
            ("http://a:x", PORT),
            ("http://a:03000", PORT),
            ("http://a:99999", PORT),
            ("http://a:+80", PORT),
            ("ws://localhost:3000", WEBSOCKET),
            ("https://b\u{fc}cher.example", PUNYCODE),
            ("http://127.1", ADDRESS),
            ("http://0x7f.0.0.1", ADDRESS),
            ("http://127.0.0.01", ADDRESS),
            ("http://2130706433", ADDRESS),
            ("http://127.0.0.1.", ADDRESS),
            ("http://[0:0:0:0:0:0:0:1]", ADDRESS),
            ("http://[::ffff:127.0.0.1]", ADDRESS),
        ] {
            assert_eq!(origin(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn browsers_trust_loopback_names_only() {
        for name in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "iam.cn-north-4.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
        ] {
            assert!(is_trustworthy_name(name), "{name}");
        }
        for name in [
            "",
            "proxy.internal",
            "localhost.example",
            "xlocalhost",
            "127.0.0.1.example",
            "10.0.0.7",
            "[::2]",
            "[fd00::7]",
            "::1",
        ] {
            assert!(!is_trustworthy_name(name), "{name}");
        }
    }
}
