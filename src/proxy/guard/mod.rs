//! Who may use the port. Whoever reaches it can have requests signed, so it is checked before anything else.
//!
//! Programs on this machine reach the port by a loopback name. A web page in somebody's browser may
//! reach it too: by a name of its own that resolves to this machine (DNS rebinding), across origins, or
//! by making the browser fetch or open an address. `Host` gives the first away, `Origin` the second, and
//! the fetch metadata of browsers (`Sec-Fetch-Site`, `Sec-Purpose`) the third.
//!
//! | step | checks |
//! |---|---|
//! | `host` | exactly one `Host`, and it is one of the proxy's names |
//! | `origin` | `Origin` is listed in `access.origins`, or the proxy's own |
//! | `browser` | a request of a browser is of a kind that is served |
//! | here | the caller token |

mod browser;
mod host;
mod origin;

use std::net::{IpAddr, SocketAddr};

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, request};

use crate::config::{Access, CallerToken};
use crate::error::{Error, OriginRefusal};
use crate::proxy::headers;
use browser::{BrowserAccess, Marks};
use origin::PageOrigin;

/// What kind of listener a request reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Plain HTTP over TCP.
    Tcp,
    /// HTTP over TLS.
    Tls,
    /// Plain HTTP over a unix socket.
    Unix,
}

impl ListenerKind {
    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_tls(self) -> bool {
        self == Self::Tls
    }
}

/// Decides who may use the port.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Names by which the proxy may be called: lower case, no port, IPv6 addresses in brackets.
    hosts: Vec<String>,
    origins: Vec<String>,
    token: Option<CallerToken>,
    /// Which requests of browsers the proxy serves.
    browsers: BrowserAccess,
    /// Whether it was bound to any address.
    is_any_address: bool,
}

/// The header in which callers send their token.
const TOKEN: HeaderName = HeaderName::from_static("x-apig-proxy-token");

/// The rules of one listener, for one request.
struct Rules {
    browsers: BrowserAccess,
    /// Whether any address counts as one of the proxy's names.
    takes_any_address: bool,
}

impl Guard {
    /// A guard for these bound addresses.
    #[must_use]
    pub fn new(access: &Access, bound: &[SocketAddr]) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
        // "Any address" is nobody's name: browsers take it for this machine.
        let named = bound
            .iter()
            .filter(|address| !address.ip().is_unspecified());
        hosts.extend(named.map(|address| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        hosts.extend(access.hosts.iter().cloned());
        hosts.sort_unstable();
        hosts.dedup();
        Self {
            hosts,
            origins: access.origins.clone(),
            token: access.token.clone(),
            browsers: if access.browser {
                BrowserAccess::OwnPages
            } else {
                BrowserAccess::Denied
            },
            is_any_address: bound.iter().any(|address| address.ip().is_unspecified()),
        }
    }

    /// Lets a request through, or says why not.
    ///
    /// # Errors
    ///
    /// As [`Self::check_page`], and [`Error::TokenRequired`].
    pub fn check<'r>(
        &'r self,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Visitor<'r>, Error> {
        let visitor = self.check_page(listener, head)?;
        if self.token.is_some() && !self.has_token(&head.headers) {
            return Err(Error::TokenRequired);
        }
        Ok(visitor)
    }

    /// Checks all but the token, which a browser that asks whether it may send a request cannot have.
    ///
    /// # Errors
    ///
    /// [`Error::BadHost`], [`Error::HostNotAllowed`] or [`Error::OriginNotAllowed`], and
    /// [`Error::BadRequest`] for a target whose authority is not the `Host`.
    pub fn check_page<'r>(
        &'r self,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Visitor<'r>, Error> {
        let rules = Rules {
            browsers: self.browsers,
            takes_any_address: false,
        };
        self.check_by(&rules, listener, head)
    }

    /// Checks a request to the admin listener that changes nothing. A person may open it in a browser. If it
    /// was bound to any address, it may be called by any.
    ///
    /// The kubelet and Prometheus call a pod by its address, which nobody knows when the configuration is
    /// written. A page of another origin cannot be among them: its browser sends the name that the page
    /// was loaded by, and a name that was made to point here is a name all the same.
    ///
    /// # Errors
    ///
    /// As [`Self::check_page`].
    pub fn check_probe<'r>(
        &'r self,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Visitor<'r>, Error> {
        let rules = Rules {
            browsers: BrowserAccess::AdminPages,
            takes_any_address: self.is_any_address,
        };
        self.check_by(&rules, listener, head)
    }

    /// Checks a request to the admin listener that changes something: never one of a browser.
    ///
    /// # Errors
    ///
    /// As [`Self::check_page`].
    pub fn check_admin_action<'r>(
        &'r self,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Visitor<'r>, Error> {
        let rules = Rules {
            browsers: BrowserAccess::AdminDenied,
            takes_any_address: false,
        };
        self.check_by(&rules, listener, head)
    }

    /// Checks all but whether the token is there.
    fn check_by<'r>(
        &'r self,
        rules: &Rules,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Visitor<'r>, Error> {
        let headers = &head.headers;
        let (host, name) = host::of_request(head, listener)?;
        // No browser reaches a unix socket, so that a name proves nothing there.
        let is_allowed = listener == ListenerKind::Unix
            || self.is_own_name(name)
            || (rules.takes_any_address && host::is_address(name));
        if !is_allowed {
            return Err(Error::HostNotAllowed {
                host: host.as_bytes().into(),
            });
        }
        let marks = Marks::of(headers);
        let origin = self.page_origin(headers, listener, host)?;
        if let PageOrigin::Listed(origin) = origin {
            return Ok(Visitor {
                host,
                origin: Some(origin),
            });
        }
        if origin == PageOrigin::Own {
            rules.browsers.check_own_origin(&marks)?;
        }
        let is_trustworthy = listener.is_tls() || host::is_trustworthy(name);
        let refusal = rules.browsers.check(&marks, &head.method, is_trustworthy);
        // No page can know the token. It is compared only if something depends on it.
        refusal.or_else(|refusal| self.has_token(headers).then_some(()).ok_or(refusal))?;
        Ok(Visitor { host, origin: None })
    }

    fn is_own_name(&self, name: &str) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// Whether the right token is shown.
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let token = self.token.as_ref();
        let sent = headers::only(headers, &TOKEN);
        token.is_some_and(|token| sent.is_some_and(|sent| token.is(sent.as_bytes())))
    }

    /// The origin of the web page that sent the request.
    fn page_origin(
        &self,
        headers: &HeaderMap,
        listener: ListenerKind,
        host: &str,
    ) -> Result<PageOrigin<'_>, Error> {
        let mut found = PageOrigin::Absent;
        for value in headers.get_all(ORIGIN) {
            let value = value.as_bytes();
            let same = |listed: &&String| listed.as_bytes().eq_ignore_ascii_case(value);
            // Of several values the least trusted one counts.
            found = match self.origins.iter().find(same) {
                Some(_) if found == PageOrigin::Own => found,
                Some(listed) => PageOrigin::Listed(listed),
                None if origin::is_own(value, listener, host) => PageOrigin::Own,
                None => return Err(OriginRefusal::ForeignOrigin.with(value)),
            };
        }
        Ok(found)
    }
}

/// Who was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor<'r> {
    /// The `Host` by which the proxy was called.
    pub host: &'r str,
    /// The origin of the web page that calls, as the configuration spells it.
    pub origin: Option<&'r str>,
}

#[cfg(test)]
mod tests;
