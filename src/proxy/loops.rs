//! Notices requests that come back: an upstream that leads to the proxy itself.
//!
//! Most such configurations are refused at the start. What cannot be seen there is, say, a web server on
//! this machine that passes requests back. A request that comes back is recognised by what the proxy
//! itself has put on it, so nothing has to be added to those that go to the gateway.

use super::sign::SigningKey;
use crate::config::Route;
use crate::error::Error;
use crate::http1::Fields;
use crate::signature::Presented;

/// The headers that are signed, where they are set.
const SIGNED: [&str; 6] = [
    "host",
    "x-project-id",
    "x-sdk-content-sha256",
    "x-sdk-date",
    "x-security-token",
    "x-stage",
];

/// Refuses a request that this proxy, or another one with its secrets, has sent itself.
///
/// A program that signs by its own means is let through, and its signature replaced: it signs the `Host`
/// by which it calls, and other headers.
///
/// # Errors
///
/// [`Error::Loop`].
pub(super) fn check(
    fields: &Fields,
    routes: &[Route],
    is_ours: impl Fn() -> bool,
) -> Result<(), Error> {
    let host = fields.only("host").unwrap_or_default();
    let is_upstream = routes.iter().any(|route| route.upstream.authority == host);
    if is_upstream && is_ours() {
        return Err(Error::Loop);
    }
    Ok(())
}

/// Whether a request carries a signature as the proxy makes it, with this key.
pub(super) fn is_signed_by(fields: &Fields, key: &SigningKey) -> bool {
    let authorization = fields.only("authorization");
    let presented =
        authorization.and_then(|text| Presented::parse(str::from_utf8(text).ok()?).ok());
    presented.is_some_and(|presented| {
        let mut names = presented.signed_headers.split(';');
        presented.access_key == key.access_key()
            && presented.signed_headers.ends_with("x-stage")
            && names.all(|name| SIGNED.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;
    use crate::credentials::Credentials;
    use crate::http1::RequestHead;

    fn comes_back(host: &str, access_key: &str, signed: &str) -> bool {
        let head = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nauthorization: SDK-HMAC-SHA256 Access={access_key}, \
             SignedHeaders={signed}, Signature=0a\r\n\r\n"
        );
        let head = RequestHead::parse(&head.into()).unwrap();
        let routes = with_upstream("https://127.0.0.1:8443").unwrap().routes;
        let credentials = Credentials {
            access_key: "AK".to_owned(),
            secret_key: "SK".into(),
            security_token: None,
        };
        let key = SigningKey::new(&credentials, None).unwrap();
        let is_ours = || is_signed_by(&head.fields, &key);
        matches!(check(&head.fields, &routes, is_ours), Err(Error::Loop))
    }

    #[test]
    fn what_the_proxy_has_signed_itself_is_recognised() {
        let signed = "host;x-sdk-date;x-stage";
        assert!(comes_back("127.0.0.1:8443", "AK", signed));
        assert!(comes_back(
            "127.0.0.1:8443",
            "AK",
            "host;x-project-id;x-sdk-content-sha256;x-sdk-date;x-security-token;x-stage"
        ));
    }

    #[test]
    fn a_program_that_signs_by_its_own_means_is_not() {
        let signed = "host;x-sdk-date;x-stage";
        for (host, key, signed) in [
            ("localhost:8080", "AK", signed),
            ("127.0.0.1:8443", "OTHER", signed),
            (
                "127.0.0.1:8443",
                "AK",
                "content-type;host;x-sdk-date;x-stage",
            ),
            ("127.0.0.1:8443", "AK", "host;x-sdk-date"),
        ] {
            assert!(!comes_back(host, key, signed), "{host} {key} {signed}");
        }
    }
}
