//! Why a request is refused on behalf of a web page, and what the caller is told.

use std::fmt;

use super::{Error, Untrusted};

/// Why the origin of a request is not allowed. The texts are what the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginRefusal {
    /// `Origin` is neither listed nor the proxy's own.
    ForeignOrigin,
    /// A browser sent it, and browsers are not served.
    Browser,
    /// A browser sent it on behalf of another site.
    OtherSite,
    /// A browser prefetches or prerenders.
    Prefetch,
    /// A browser may have sent it, and does not say for which page.
    UnknownPage,
    /// A page asks the admin listener.
    AdminPage,
    /// A browser asks for something that changes the proxy.
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

impl fmt::Display for OriginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignOrigin => {
                "web pages of other origins may not use the proxy; list the origin in access.origins to allow it, or set \
                 access.browser = true for pages that are loaded through the proxy itself"
            }
            Self::Browser => {
                "web browsers may not use the proxy; set access.browser = true to open pages through it, or list the \
                 origin of the page in access.origins"
            }
            Self::OtherSite => {
                "this request comes from another site; access.browser = true allows typed addresses and pages that are \
                 loaded through the proxy, other origins go to access.origins"
            }
            Self::Prefetch => {
                "browsers may not prefetch or prerender through the proxy, not even with access.browser = true; open the \
                 page itself"
            }
            Self::UnknownPage => {
                "by this name browsers do not say over plain HTTP which page sends a request, so a User-Agent that begins \
                 with Mozilla/ is refused, even with access.browser = true; call the proxy as localhost or over https, or \
                 send another User-Agent"
            }
            Self::AdminPage => {
                "web pages may not use the admin listener, not even with access.browser = true; open the address itself, \
                 or ask with a program like curl"
            }
            Self::AdminAction => {
                "web browsers may not change anything at the admin listener, not even with access.browser = true; use a \
                 program like curl, or apig-proxy quit"
            }
        })
    }
}
