//! Origins of web pages (`access.origins`). They are compared with what browsers send, so an entry
//! that no browser sends is an error: it would never match.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::in_brackets;

const EXPECTED: &str = "expected origins like \"http://localhost:3000\" or \"vscode-webview://extension\": scheme, host and port, as \
    browsers send them (international names with xn--, addresses in their shortest form, a WebSocket as its page)";
const PATTERN: &str = "patterns are not supported, since a pattern could match any page\nhint: list each origin by itself, like \"http://localhost:3000\"";
const NULL: &str = "pages without an origin cannot be allowed, since any page can send null\nhint: serve the page over http and list \"http://localhost:3000\"";
const PATH: &str = "browsers send an origin without a path\nhint: write it without what follows the host, like \"http://localhost:3000\"";
const DEFAULT_PORT: &str = "browsers leave the default port out\nhint: write it without :80 or :443, like \"http://localhost\" or \"https://example.com\"";

/// Parses an origin of web pages, in lower case.
pub(super) fn origin(text: &str) -> Result<String, &'static str> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").unwrap_or((&text, ""));
    // Those of extensions and desktop programs have no default port.
    let default_port = match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    };
    // The colons of an IPv6 address are within brackets.
    let end = authority.find(']').unwrap_or(0);
    let colon = authority[end..].find(':').map(|at| end + at);
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    let port = port.strip_prefix(':');
    let is_port =
        |port: &str| matches!(port.parse(), Ok(number) if port == u16::to_string(&number));
    match scheme {
        _ if text.contains('*') => Err(PATTERN),
        "null" | "file" | "data" | "blob" | "about" | "javascript" => Err(NULL),
        _ if authority.contains(['/', '?', '#', '\\']) => Err(PATH),
        _ if port.is_some() && port == default_port => Err(DEFAULT_PORT),
        _ if is_scheme(scheme)
            && is_host(host, default_port.is_some())
            && port.is_none_or(is_port) =>
        {
            Ok(text)
        }
        _ => Err(EXPECTED),
    }
}

/// True for a scheme of web pages. A WebSocket is opened with the origin of its page.
fn is_scheme(scheme: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_part)
        && !matches!(scheme, "ws" | "wss")
}

/// True if browsers spell a host like this. Those of the web have one spelling for each address.
fn is_host(host: &str, is_web: bool) -> bool {
    if let Some(address) = in_brackets(host) {
        let Ok(parsed) = address.parse::<Ipv6Addr>() else {
            return false;
        };
        let [.., high, low] = parsed.segments();
        return match parsed.to_ipv4_mapped() {
            Some(_) => address == format!("::ffff:{high:x}:{low:x}"),
            None => address == parsed.to_string(),
        };
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let mut labels = host.trim_end_matches('.').rsplit('.');
    let last = labels.next().unwrap_or(host);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    !host.is_empty()
        && host.bytes().all(is_part)
        && !(is_web && is_number && host.parse::<Ipv4Addr>().is_err())
}

/// `true` if this name always means the same machine, so that browsers trust it and send fetch
/// metadata over plain HTTP. The name has no port and no trailing dot.
pub fn is_trustworthy_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let address = match in_brackets(&name) {
        Some(ip) => ip.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_browsers_send_are_accepted_in_lower_case() {
        let origins = "http://localhost:3000 HTTP://LocalHost:3000 https://example.com http://localhost:443 https://a_b.example:80 \
                       http://127.0.0.1:3000 http://[::1]:3000 http://[::ffff:7f00:1] https://xn--bcher-kva.example \
                       vscode-webview://1a2b tauri://localhost app://. capacitor://localhost:80 \
                       chrome-extension://abcdefghijklmnopabcdefghijklmnop moz-extension://C0FFEE00-0000-4000-8000-000000000000";
        for text in origins.split_whitespace() {
            assert_eq!(origin(text), Ok(text.to_ascii_lowercase()));
        }
    }

    #[test]
    fn origins_that_no_browser_sends_are_refused_with_the_spelling_to_use() {
        let refused = "\
            expected origins => |localhost|localhost:3000|http://|http://:3000|http://u@a|http://a b|http://a%41|http://[::1
            expected origins => http://[x]|ht tp://a|1a://b|blob:http://a
            patterns => *|http://*|http://localhost:*|http://*.example.com
            pages without an origin => null|file://|file:///x
            browsers send an origin without a path => http://a/|http://a/b|http://a:3000/|http://a?b|http://a#b
            browsers leave the default port => http://localhost:80|https://example.com:443|HTTPS://example.com:443
            expected origins => http://a:|http://a:x|http://a:03000|http://a:99999|http://a:+80|ws://localhost:3000
            expected origins => https://b\u{fc}cher.example|http://127.1|http://0x7f.0.0.1|http://127.0.0.01|http://2130706433|http://127.0.0.1.
            expected origins => http://[0:0:0:0:0:0:0:1]|http://[::ffff:127.0.0.1]";
        for line in refused.lines() {
            let (expected, origins) = line.trim_start().split_once(" => ").unwrap();
            for text in origins.split('|') {
                let problem = origin(text).unwrap_err();
                assert!(problem.starts_with(expected), "{text}: {problem}");
            }
        }
    }

    #[test]
    fn browsers_trust_loopback_names_only() {
        let own =
            "localhost LOCALHOST a.localhost iam.cn-north-4.localhost 127.0.0.1 127.9.9.9 [::1]";
        for name in own.split(' ') {
            assert!(is_trustworthy_name(name), "{name}");
        }
        let others = " proxy.internal localhost.example xlocalhost 127.0.0.1.example 10.0.0.7 [::2] [fd00::7] ::1";
        for name in others.split(' ') {
            assert!(!is_trustworthy_name(name), "{name}");
        }
    }
}
