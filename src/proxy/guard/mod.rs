//! The guard decides which requests are served. A request that it lets through is signed, so it
//! runs before anything else, on every method.
//!
//! Programs on this machine call the proxy by a loopback name. A web page in a local browser can
//! reach the port too: by DNS rebinding, across origins, or by a link, form or prefetch.
//!
//! | step | checks |
//! |---|---|
//! | `host` | there is exactly one `Host`, and it is a name of the proxy: stops DNS rebinding |
//! | `page_origin` | `Origin` is listed in `access.origins` or is the proxy's own: stops other pages |
//! | `browser` | fetch metadata (`Sec-Fetch-Site`, `Sec-Purpose`): stops links, forms and prefetches |
//! | `has_token` | the caller token |

mod browser;
mod host;

use std::net::{IpAddr, SocketAddr};

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, HeaderValue, request};

use crate::config::{Access, Services, is_trustworthy_name};
use crate::error::{Error, Untrusted};
use crate::proxy::headers;

/// The header in which callers send their token.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-apig-proxy-token");

/// The kind of listener that a request reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Plain HTTP over TCP.
    Tcp,
    /// HTTP over TLS.
    Tls,
    /// Plain HTTP over a unix socket.
    Unix,
    /// None: the inspector sends the request. Its user has shown a token there, so neither the
    /// `Host` nor the caller token is checked, but marks of web pages are.
    Replay,
}

impl ListenerKind {
    /// True if requests are encrypted.
    #[must_use]
    pub fn is_tls(self) -> bool {
        self == Self::Tls
    }

    /// Its name in the inspector.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Replay => "replay",
        }
    }
}

/// What a request asks for, which decides who may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A response of the gateway.
    Forward,
    /// Permission for a web page to send a request (CORS preflight). Browsers send no token with
    /// it.
    Preflight,
    /// Health or metrics at the admin listener. A person may open them in a browser.
    AdminRead,
    /// A change at the admin listener. No browser may send it.
    AdminAction,
    /// The page of the inspector, or a file of it. A person may open it in a browser.
    InspectorPage,
    /// The API of the inspector, for its own page and for programs.
    InspectorApi,
}

impl Purpose {
    /// Why a page or a browser is refused.
    fn refusal(self) -> &'static str {
        match self {
            Self::Forward | Self::Preflight => {
                "web browsers and pages of other origins may not use the proxy\nhint: list the origin of the page in \
                 `access.origins`, or set `access.browser = true` for typed addresses and the pages that they open"
            }
            Self::AdminRead | Self::AdminAction => {
                "web pages may not use the admin listener, and no browser may change anything there\nhint: open the \
                 address itself, or use a program like `curl`"
            }
            Self::InspectorPage | Self::InspectorApi => {
                "web pages may not use the inspector, except for its own\nhint: open `/inspect/` itself, or use \
                 `apig-proxy inspect`"
            }
        }
    }
}

/// A request that the guard let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted<'r> {
    /// The `Host` that the caller used.
    pub host: &'r str,
    /// The listed origin of the calling web page, in the spelling of the configuration.
    pub origin: Option<&'r str>,
    /// The index of the route of the cloud service that the `Host` names.
    pub service: Option<usize>,
}

/// The access rules of one listener.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Names of the proxy: no port, IPv6 addresses in brackets.
    hosts: Vec<String>,
    /// The services that have names too, like `vpc.cn-north-4.localhost`.
    pub(crate) services: Services,
    access: Access,
    /// True if the listener is bound to `0.0.0.0` or `[::]`.
    is_any_address: bool,
}

impl Guard {
    /// A guard for a listener on these bound addresses.
    #[must_use]
    pub fn new(access: &Access, bound: &[SocketAddr]) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let mut addresses = bound.iter().map(SocketAddr::ip);
        let named = addresses.clone().filter(|ip| !ip.is_unspecified());
        let named = named.map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        let configured = access.hosts.iter().cloned();
        Self {
            hosts: own.into_iter().chain(named).chain(configured).collect(),
            services: Services::default(),
            access: access.clone(),
            is_any_address: addresses.any(|ip| ip.is_unspecified()),
        }
    }

    /// Checks whether a request is served.
    ///
    /// # Errors
    ///
    /// [`Error::BadHost`], [`Error::HostNotAllowed`], [`Error::OriginNotAllowed`],
    /// [`Error::TokenRequired`] or [`Error::Service`]; [`Error::BadRequest`] for a target whose
    /// authority is not the `Host`.
    pub fn check<'r>(
        &'r self,
        purpose: Purpose,
        listener: ListenerKind,
        head: &'r request::Parts,
    ) -> Result<Admitted<'r>, Error> {
        let (host, name) = host::of_request(head, listener)?;
        let service = match self.services.of_host(name) {
            Some(Err(_)) if self.is_own_name(name) => None,
            service => service,
        };
        if service.is_none() && !self.allows_host(name, purpose, listener) {
            let host = host.as_bytes().into();
            return Err(Error::HostNotAllowed { host });
        }
        let (origin, is_own) = self.page_origin(purpose, &head.headers, listener, host)?;
        if origin.is_none() {
            let is_secure = matches!(listener, ListenerKind::Tls | ListenerKind::Replay);
            let sends_metadata = || is_secure || is_trustworthy_name(name);
            self.check_browser(purpose, head, is_own, sends_metadata)?;
        }
        let needs_token = match purpose {
            _ if listener == ListenerKind::Replay => false,
            Purpose::Forward => true,
            Purpose::Preflight => origin.is_none(),
            _ => false,
        };
        if needs_token && self.access.token.is_some() && !self.has_token(&head.headers) {
            return Err(Error::TokenRequired);
        }
        // Only callers that may use the proxy learn the names of services.
        let service = service.transpose()?;
        Ok(Admitted {
            host,
            origin,
            service,
        })
    }

    /// "Any address" is never a name of the proxy, because browsers take it for this machine.
    ///
    /// The kubelet and Prometheus call a pod by an address that the configuration cannot know, so
    /// every address is valid for reading the admin listener if it is bound to any address. This
    /// admits no page of another origin: its browser sends the name that the page was loaded by.
    fn allows_host(&self, name: &str, purpose: Purpose, listener: ListenerKind) -> bool {
        let takes_any_address = self.is_any_address && purpose == Purpose::AdminRead;
        // No browser reaches these, so the name proves nothing there.
        let is_exempt = matches!(listener, ListenerKind::Unix | ListenerKind::Replay);
        is_exempt || self.is_own_name(name) || (takes_any_address && host::is_address(name))
    }

    fn is_own_name(&self, name: &str) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| host.eq_ignore_ascii_case(name))
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let token = self.access.token.as_ref();
        let token = token.zip(headers::only(headers, &TOKEN));
        token.is_some_and(|(token, sent)| token.is(sent.as_bytes()))
    }

    /// The listed origin of the calling web page, and true if the page is one of the proxy itself.
    /// Of several `Origin` values the least trusted one counts.
    fn page_origin(
        &self,
        purpose: Purpose,
        headers: &HeaderMap,
        listener: ListenerKind,
        host: &str,
    ) -> Result<(Option<&str>, bool), Error> {
        // Pages that may call the proxy may not read what others have sent.
        let listed = match purpose {
            Purpose::InspectorPage | Purpose::InspectorApi => &[][..],
            _ => &self.access.origins,
        };
        let (mut origin, mut is_own) = (None, false);
        for value in headers.get_all(ORIGIN).iter().map(HeaderValue::as_bytes) {
            let mut origins = listed.iter().map(String::as_str);
            match origins.find(|listed| listed.as_bytes().eq_ignore_ascii_case(value)) {
                Some(listed) => origin = Some(listed),
                None if is_own_origin(value, listener, host) => is_own = true,
                None => return Err(refuse(purpose.refusal(), value)),
            }
        }
        Ok((origin.filter(|_| !is_own), is_own))
    }
}

/// Returns true if a request names the proxy as only programs of its own machine can: by a loopback
/// name, or over a unix socket.
pub(crate) fn names_loopback(listener: ListenerKind, head: &request::Parts) -> bool {
    let named = host::of_request(head, listener);
    named.is_ok_and(|(_, name)| listener == ListenerKind::Unix || host::is_loopback(name))
}

/// The error with the value that caused the refusal, for the log.
fn refuse(reason: &'static str, value: &[u8]) -> Error {
    let value = Untrusted::from(value);
    Error::OriginNotAllowed { reason, value }
}

/// True if an origin has the scheme of the listener and the authority of `host`. The `Host` must be
/// checked before, because a page with a rebound name sends its own name as both.
pub(super) fn is_own_origin(origin: &[u8], listener: ListenerKind, host: &str) -> bool {
    // A replayed request may have come over TLS or not.
    let is_replayed = listener == ListenerKind::Replay && origin.starts_with(b"https://");
    let (scheme, default_port) = match listener.is_tls() || is_replayed {
        true => (&b"https://"[..], &b":443"[..]),
        false => (&b"http://"[..], &b":80"[..]),
    };
    let Some((start, authority)) = origin.split_at_checked(scheme.len()) else {
        return false;
    };
    // Browsers leave the default port out of both; other clients may not.
    let [host, authority] = [host.as_bytes(), authority]
        .map(|authority| authority.strip_suffix(default_port).unwrap_or(authority));
    start.eq_ignore_ascii_case(scheme) && !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests;
