//! Requests of web browsers: what marks them, and which of them are served.
//!
//! Browsers mark every request to a trustworthy address (HTTPS, or a loopback name) with `Sec-Fetch-Site`,
//! which no page can change. That tells a page of the proxy's own from others, but not a person's navigation
//! from one that another site caused: a speculation-rules prefetch carries `none` like a typed address, and
//! so does a typed link that another site redirects. So none of them is served unless
//! `access.browser` is set, and prefetches are not served even then.
//!
//! `Sec-Fetch-Mode` alone is no mark: Node's `fetch` sends it.

use http::{HeaderMap, Method};

use crate::error::{Error, OriginRefusal};

/// Which requests of browsers a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrowserAccess {
    /// None (`access.browser = false`).
    Denied,
    /// Navigations, and all that pages loaded through the proxy send (`access.browser = true`).
    OwnPages,
    /// Navigations to pages of the admin listener.
    AdminPages,
    /// None, since the request changes something at the admin listener.
    AdminDenied,
}

/// What browsers say of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks<'r> {
    site: Option<&'r [u8]>,
    /// Whether several values of `Sec-Fetch-Site` differ.
    is_ambiguous: bool,
    /// A `Sec-Fetch-Mode` other than `navigate`.
    other_mode: bool,
    has_fetch_metadata: bool,
    /// The value that marks a prefetch or prerender.
    prefetch: Option<&'r [u8]>,
    /// The `User-Agent`, if it is like that of a browser.
    browser_agent: Option<&'r [u8]>,
}

impl<'r> Marks<'r> {
    pub(super) fn of(headers: &'r HeaderMap) -> Self {
        let mut marks = Self::default();
        for (name, value) in headers {
            let (name, value) = (name.as_str(), value.as_bytes());
            if name.starts_with("sec-fetch-") {
                marks.has_fetch_metadata = true;
                if name == "sec-fetch-site" {
                    marks.is_ambiguous |= marks.site.is_some_and(|site| site != value);
                    marks.site = Some(value);
                } else if name == "sec-fetch-mode" {
                    marks.other_mode |= value != b"navigate";
                }
            } else if name == "sec-purpose" || (is_purpose(name) && is_prefetch(value)) {
                marks.prefetch = Some(value);
            } else if name == "user-agent" && starts_with(value, b"mozilla/") {
                marks.browser_agent = Some(value);
            }
        }
        marks
    }
}

fn is_purpose(name: &str) -> bool {
    ["purpose", "x-purpose", "x-moz"].contains(&name)
}

fn is_prefetch(value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let contains = |word: &[u8]| value.windows(word.len()).any(|part| part == word);
    contains(b"prefetch") || contains(b"preview")
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    let begins = text.get(..start.len());
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(start))
}

impl BrowserAccess {
    /// Checks a request of any client. `is_trustworthy` says whether browsers send fetch metadata to the
    /// address by which the proxy was called.
    ///
    /// # Errors
    ///
    /// [`Error::OriginNotAllowed`] for a request of a browser that is not served.
    pub(super) fn check(
        self,
        marks: &Marks<'_>,
        method: &Method,
        is_trustworthy: bool,
    ) -> Result<(), Error> {
        if let Some(purpose) = marks.prefetch {
            return Err(OriginRefusal::Prefetch.with(purpose));
        }
        match (marks.site, marks.browser_agent) {
            (Some(site), _) if !self.serves(site, marks, method) => Err(self.refusal().with(site)),
            (None, Some(agent)) if !is_trustworthy => Err(OriginRefusal::UnknownPage.with(agent)),
            _ => Ok(()),
        }
    }

    /// Checks a request whose `Origin` is the proxy's own. WebSocket clients that are no browsers send it,
    /// without fetch metadata.
    ///
    /// # Errors
    ///
    /// [`Error::OriginNotAllowed`] if a page of the proxy's own sent it, and those are not served.
    pub(super) fn check_own_origin(self, marks: &Marks<'_>) -> Result<(), Error> {
        if marks.has_fetch_metadata && self != Self::OwnPages {
            return Err(self.refusal().with(marks.site.unwrap_or_default()));
        }
        Ok(())
    }

    /// Whether a request with this `Sec-Fetch-Site` is served.
    fn serves(self, site: &[u8], marks: &Marks<'_>, method: &Method) -> bool {
        let is_read = method == Method::GET || method == Method::HEAD;
        let is_navigation = is_read && !marks.other_mode;
        let is_served = match (self, site) {
            (Self::OwnPages, b"same-origin") => true,
            (Self::OwnPages | Self::AdminPages, b"none") => is_navigation,
            _ => false,
        };
        is_served && !marks.is_ambiguous
    }

    fn refusal(self) -> OriginRefusal {
        match self {
            Self::Denied => OriginRefusal::Browser,
            Self::OwnPages => OriginRefusal::OtherSite,
            Self::AdminPages => OriginRefusal::AdminPage,
            Self::AdminDenied => OriginRefusal::AdminAction,
        }
    }
}
