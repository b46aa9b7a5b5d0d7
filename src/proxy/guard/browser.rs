//! Requests of web browsers: how they are recognised, and which of them are served.
//!
//! Browsers mark every request to a trustworthy address (HTTPS, or a loopback name) with
//! `Sec-Fetch-Site`, which no page can change. It tells the proxy's own pages from others, but it
//! does not tell a typed address from a speculation-rules prefetch or from a typed link that
//! another site redirects: all carry `none`. So no browser is served unless `access.browser` is
//! set, and prefetches not even then.
//!
//! `Sec-Fetch-Mode` alone does not mark a browser: Node's `fetch` sends it too.

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};

use super::{Guard, Purpose, refuse};
use crate::error::Error;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
/// What browsers sent before there was `Sec-Purpose`.
static OLD_PURPOSES: [HeaderName; 3] = [
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

const PREFETCH: &str = "browsers may not prefetch or prerender through the proxy, not even with `access.browser = \
     true`\nhint: open the page itself";

/// The refusal of a request that a browser may have sent, without saying for which page.
const UNKNOWN_PAGE: &str = "by this name browsers do not say over plain HTTP which page sends a request, so a \
     User-Agent that begins with `Mozilla/` is refused, even with `access.browser = true`\nhint: call the proxy as \
     `localhost` or over https, or send another User-Agent";

impl Guard {
    /// Checks a request that does not come from a page of a listed origin. `is_own` means that it
    /// names the proxy as its origin, `sends_metadata` tells if browsers send fetch metadata to the
    /// address that was called.
    pub(super) fn check_browser(
        &self,
        purpose: Purpose,
        head: &request::Parts,
        is_own: bool,
        sends_metadata: impl FnOnce() -> bool,
    ) -> Result<(), Error> {
        let headers = &head.headers;
        let site = headers.get_all(FETCH_SITE).iter().next_back();
        let site = site.map(HeaderValue::as_bytes);
        let is_metadata = |name: &str| name.starts_with("sec-fetch-");
        let has_metadata = || headers.keys().any(|name| is_metadata(name.as_str()));
        // WebSocket clients that are no browsers send the proxy's own origin without fetch
        // metadata.
        if is_own && !self.serves_pages(purpose) && has_metadata() {
            return Err(refuse(purpose.refusal(), site.unwrap_or_default()));
        }
        let agent = headers.get(USER_AGENT);
        let agent = agent.map_or(&b""[..], HeaderValue::as_bytes);
        let start = agent.get(..8).unwrap_or_default();
        let is_browser = start.eq_ignore_ascii_case(b"mozilla/");
        let refusal = match (prefetch(headers), site) {
            (Some(value), _) => refuse(PREFETCH, value),
            (None, Some(site)) if !self.serves_site(purpose, site, head) => {
                refuse(purpose.refusal(), site)
            }
            (None, None) if is_browser && !sends_metadata() => refuse(UNKNOWN_PAGE, agent),
            _ => return Ok(()),
        };
        // No page can know the token. It is compared only if the result depends on it.
        self.has_token(headers).then_some(()).ok_or(refusal)
    }

    /// True if pages that were loaded from the same listener may send a request.
    fn serves_pages(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Forward | Purpose::Preflight => self.access.browser,
            Purpose::InspectorPage | Purpose::InspectorApi => true,
            Purpose::AdminRead | Purpose::AdminAction => false,
        }
    }

    fn serves_site(&self, purpose: Purpose, site: &[u8], head: &request::Parts) -> bool {
        let all = |name, value: &[u8]| {
            let mut values = head.headers.get_all(name).iter();
            values.all(|found| found == value)
        };
        let is_read = head.method == Method::GET || head.method == Method::HEAD;
        let serves_navigation = match purpose {
            Purpose::AdminRead => true,
            // A person opens the page, which asks the API.
            Purpose::InspectorApi => false,
            purpose => self.serves_pages(purpose),
        };
        let is_served = match site {
            b"same-origin" => self.serves_pages(purpose),
            b"none" => serves_navigation && is_read && all("sec-fetch-mode", b"navigate"),
            _ => false,
        };
        is_served && all("sec-fetch-site", site)
    }
}

/// The value that marks a prefetch or prerender.
fn prefetch(headers: &HeaderMap) -> Option<&[u8]> {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let is_prefetch = |value: &&[u8]| {
        let value = value.to_ascii_lowercase();
        let contains = |word| memchr::memmem::find(&value, word).is_some();
        contains(b"prefetch") || contains(b"preview")
    };
    let mut others = OLD_PURPOSES.iter().flat_map(values).filter(is_prefetch);
    values(&SEC_PURPOSE).next().or_else(|| others.next())
}
