//! Refusals of requests from web pages, with the texts that callers get.

use super::{Error, Untrusted};

/// Why the origin of a request is not allowed. The texts are what the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefusal {
    /// `Origin` is neither listed nor the proxy's own.
    #[error(
        "web pages of other origins may not use the proxy; list the origin in access.origins to allow it, or set \
         access.browser = true for pages that are loaded through the proxy itself"
    )]
    ForeignOrigin,
    /// A browser sent it, and browsers are not served.
    #[error(
        "web browsers may not use the proxy; set access.browser = true to open pages through it, or list the \
         origin of the page in access.origins"
    )]
    Browser,
    /// A browser sent it on behalf of another site.
    #[error(
        "this request comes from another site; access.browser = true allows typed addresses and pages that are \
         loaded through the proxy, other origins go to access.origins"
    )]
    OtherSite,
    /// A browser prefetches or prerenders.
    #[error(
        "browsers may not prefetch or prerender through the proxy, not even with access.browser = true; open the \
         page itself"
    )]
    Prefetch,
    /// A browser may have sent it, and does not say for which page.
    #[error(
        "by this name browsers do not say over plain HTTP which page sends a request, so a User-Agent that begins \
         with Mozilla/ is refused, even with access.browser = true; call the proxy as localhost or over https, or \
         send another User-Agent"
    )]
    UnknownPage,
    /// A page asks the admin listener.
    #[error(
        "web pages may not use the admin listener, not even with access.browser = true; open the address itself, \
         or ask with a program like curl"
    )]
    AdminPage,
    /// A browser asks for something that changes the proxy.
    #[error(
        "web browsers may not change anything at the admin listener, not even with access.browser = true; use a \
         program like curl, or apig-proxy quit"
    )]
    AdminAction,
}

impl OriginRefusal {
    /// The error with the value that gave the request away, for the log.
    #[must_use]
    pub fn with(self, value: &[u8]) -> Error {
        Error::OriginNotAllowed {
            reason: self,
            value: Untrusted::from(value),
        }
    }
}
