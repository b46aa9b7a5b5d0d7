//! Requests of web browsers: how they are recognised, and which of them are served.
//!
//! Browsers mark every request to a trustworthy address (HTTPS, or a loopback name) with
//! `Sec-Fetch-Site`, which no page can change. It tells the proxy's own pages from others, but it
//! does not tell a typed address from a speculation-rules prefetch or from a typed link that
//! another site redirects: all carry `none`. So no browser is served unless `access.browser` is
//! set, and prefetches not even then.
//!
//! `Sec-Fetch-Mode` alone is no mark of a browser: Node's `fetch` sends it.

use http::header::USER_AGENT;
use http::{HeaderMap, Method, request};

use super::{Guard, PageOrigin, Purpose, refuse};
use crate::error::Error;

/// A browser sent the request, and browsers are not served.
const BROWSER: &str = "web browsers may not use the proxy\nhint: set `access.browser = true` to open pages through \
     it, or list the origin of the page in `access.origins`";

/// A browser sent the request on behalf of another site.
const OTHER_SITE: &str = "this request comes from another site; `access.browser = true` allows typed addresses and \
     pages that are loaded through the proxy\nhint: list other origins in `access.origins`";

const PREFETCH: &str = "browsers may not prefetch or prerender through the proxy, not even with `access.browser = \
     true`\nhint: open the page itself";

/// A browser may have sent the request, and does not say for which page.
const UNKNOWN_PAGE: &str = "by this name browsers do not say over plain HTTP which page sends a request, so a \
     User-Agent that begins with `Mozilla/` is refused, even with `access.browser = true`\nhint: call the proxy as \
     `localhost` or over https, or send another User-Agent";

const ADMIN_PAGE: &str = "web pages may not use the admin listener, not even with `access.browser = true`\nhint: open \
     the address itself, or ask with a program like `curl`";

const ADMIN_ACTION: &str = "web browsers may not change anything at the admin listener, not even with \
     `access.browser = true`\nhint: use a program like `curl`, or `apig-proxy quit`";

const INSPECTOR_PAGE: &str = "web pages may not use the inspector, except for its own\nhint: open `/inspect/` itself, \
     or use `apig-proxy inspect`";

impl Guard {
    /// Checks a request that does not come from a page of a listed origin. `sends_metadata` is true
    /// if browsers send fetch metadata to the address that was called.
    ///
    /// # Errors
    ///
    /// [`Error::OriginNotAllowed`] for a request of a browser that is not served.
    pub(super) fn check_browser(
        &self,
        purpose: Purpose,
        head: &request::Parts,
        origin: PageOrigin<'_>,
        sends_metadata: bool,
    ) -> Result<(), Error> {
        let headers = &head.headers;
        let site = headers.get_all("sec-fetch-site").iter().next_back();
        let site = site.map(|value| value.as_bytes());
        let has_metadata = || {
            headers
                .keys()
                .any(|name| name.as_str().starts_with("sec-fetch-"))
        };
        let agent = headers
            .get(USER_AGENT)
            .map_or(&b""[..], |agent| agent.as_bytes());
        let is_browser = agent
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"mozilla/"));
        // WebSocket clients that are no browsers send the proxy's own origin without fetch
        // metadata.
        if origin == PageOrigin::Own && !self.serves_pages(purpose) && has_metadata() {
            return Err(refuse(
                self.browser_refusal(purpose),
                site.unwrap_or_default(),
            ));
        }
        let refusal = match (prefetch(headers), site) {
            (Some(value), _) => refuse(PREFETCH, value),
            (None, Some(site)) if !self.serves_site(purpose, site, head) => {
                refuse(self.browser_refusal(purpose), site)
            }
            (None, None) if is_browser && !sends_metadata => refuse(UNKNOWN_PAGE, agent),
            _ => return Ok(()),
        };
        // No page can know the token. It is compared only if the result depends on it.
        self.has_token(headers).then_some(()).ok_or(refusal)
    }

    /// True if pages that were loaded from the same listener may send a request.
    fn serves_pages(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Forward | Purpose::Preflight => self.serves_browsers,
            Purpose::InspectorPage | Purpose::InspectorApi => true,
            Purpose::AdminRead | Purpose::AdminAction => false,
        }
    }

    /// True if a request with this `Sec-Fetch-Site` is served.
    fn serves_site(&self, purpose: Purpose, site: &[u8], head: &request::Parts) -> bool {
        let all = |name, value: &[u8]| {
            head.headers
                .get_all(name)
                .iter()
                .all(|found| found == value)
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

    fn browser_refusal(&self, purpose: Purpose) -> &'static str {
        match purpose {
            Purpose::AdminRead => ADMIN_PAGE,
            Purpose::AdminAction => ADMIN_ACTION,
            Purpose::InspectorPage | Purpose::InspectorApi => INSPECTOR_PAGE,
            Purpose::Forward | Purpose::Preflight if self.serves_browsers => OTHER_SITE,
            Purpose::Forward | Purpose::Preflight => BROWSER,
        }
    }
}

/// The value that marks a prefetch or prerender.
fn prefetch(headers: &HeaderMap) -> Option<&[u8]> {
    let is_prefetch = |value: &&[u8]| {
        let value = value.to_ascii_lowercase();
        let contains = |word| memchr::memmem::find(&value, word).is_some();
        contains(b"prefetch") || contains(b"preview")
    };
    let values = |name| headers.get_all(name).iter().map(|value| value.as_bytes());
    let mut others = ["purpose", "x-purpose", "x-moz"]
        .into_iter()
        .flat_map(values);
    let sec_purpose = values("sec-purpose").next();
    sec_purpose.or_else(|| others.find(is_prefetch))
}
