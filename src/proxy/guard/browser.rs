//! Requests of web browsers: how they are recognised, and which of them are served.
//!
//! Browsers mark every request to a trustworthy address (HTTPS, or a loopback name) with
//! `Sec-Fetch-Site`, which no page can change. It tells the proxy's own pages from others, but it
//! does not tell a typed address from a speculation-rules prefetch or from a typed link that
//! another site redirects: all carry `none`. So no browser is served unless `access.browser` is
//! set, and prefetches not even then.
//!
//! `Sec-Fetch-Mode` alone is no mark of a browser: Node's `fetch` sends it.

use http::{HeaderMap, Method, request};

use super::{Guard, PageOrigin, Purpose};
use crate::error::{Error, OriginRefusal};

/// The headers by which browsers give themselves away.
#[derive(Clone, Copy, Debug, Default)]
struct Marks<'r> {
    site: Option<&'r [u8]>,
    /// There are several different values of `Sec-Fetch-Site`.
    is_ambiguous: bool,
    /// There is a `Sec-Fetch-Mode` other than `navigate`.
    has_other_mode: bool,
    has_fetch_metadata: bool,
    /// The value that marks a prefetch or prerender.
    prefetch: Option<&'r [u8]>,
    /// A `User-Agent` like that of a browser.
    browser_agent: Option<&'r [u8]>,
}

impl<'r> Marks<'r> {
    fn new(headers: &'r HeaderMap) -> Self {
        let mut marks = Self::default();
        for (name, value) in headers {
            let (name, value) = (name.as_str(), value.as_bytes());
            marks.has_fetch_metadata |= name.starts_with("sec-fetch-");
            match name {
                "sec-fetch-site" => {
                    marks.is_ambiguous |= marks.site.is_some_and(|site| site != value);
                    marks.site = Some(value);
                }
                "sec-fetch-mode" => marks.has_other_mode |= value != b"navigate",
                "sec-purpose" => marks.prefetch = Some(value),
                "purpose" | "x-purpose" | "x-moz" if is_prefetch(value) => {
                    marks.prefetch = Some(value);
                }
                "user-agent" if is_browser_agent(value) => marks.browser_agent = Some(value),
                _ => {}
            }
        }
        marks
    }
}

fn is_prefetch(value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let contains = |word| memchr::memmem::find(&value, word).is_some();
    contains(b"prefetch") || contains(b"preview")
}

fn is_browser_agent(value: &[u8]) -> bool {
    let start = value.get(..8);
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"mozilla/"))
}

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
        let marks = Marks::new(&head.headers);
        let refuse = |value| self.browser_refusal(purpose).with(value);
        // WebSocket clients that are no browsers send the proxy's own origin without fetch
        // metadata.
        let is_page = origin == PageOrigin::Own && marks.has_fetch_metadata;
        if is_page && !self.serves_pages(purpose) {
            return Err(refuse(marks.site.unwrap_or_default()));
        }
        let refusal = match (marks.prefetch, marks.site, marks.browser_agent) {
            (Some(value), ..) => OriginRefusal::Prefetch.with(value),
            (_, Some(site), _) if !self.serves_site(purpose, site, &marks, &head.method) => {
                refuse(site)
            }
            (_, None, Some(agent)) if !sends_metadata => OriginRefusal::UnknownPage.with(agent),
            _ => return Ok(()),
        };
        // No page can know the token. It is compared only if the result depends on it.
        self.has_token(&head.headers).then_some(()).ok_or(refusal)
    }

    /// True if pages that were loaded through the proxy may send a request.
    fn serves_pages(&self, purpose: Purpose) -> bool {
        self.serves_browsers && matches!(purpose, Purpose::Forward | Purpose::Preflight)
    }

    /// True if a request with this `Sec-Fetch-Site` is served.
    fn serves_site(
        &self,
        purpose: Purpose,
        site: &[u8],
        marks: &Marks<'_>,
        method: &Method,
    ) -> bool {
        let is_read = method == Method::GET || method == Method::HEAD;
        let serves_navigation = self.serves_pages(purpose) || purpose == Purpose::AdminRead;
        let is_served = match site {
            b"same-origin" => self.serves_pages(purpose),
            b"none" => serves_navigation && is_read && !marks.has_other_mode,
            _ => false,
        };
        is_served && !marks.is_ambiguous
    }

    fn browser_refusal(&self, purpose: Purpose) -> OriginRefusal {
        match purpose {
            Purpose::AdminRead => OriginRefusal::AdminPage,
            Purpose::AdminAction => OriginRefusal::AdminAction,
            Purpose::Forward | Purpose::Preflight if self.serves_browsers => {
                OriginRefusal::OtherSite
            }
            Purpose::Forward | Purpose::Preflight => OriginRefusal::Browser,
        }
    }
}
