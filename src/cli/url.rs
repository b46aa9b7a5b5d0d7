//! The URL that a command is given, taken apart as far as a request needs it.
//!
//! Not a URL library: those bring a URL into another spelling, and here every byte is signed.

use crate::signature::respell_query;

/// A URL, as far as a request needs it.
#[derive(Debug)]
pub(super) struct Url {
    /// Scheme and authority, as they were given.
    pub(super) origin: String,
    /// The value of `Host`: without the scheme's default port, as clients send it.
    pub(super) host: String,
    /// Path and query as they were given, without the fragment.
    pub(super) target: String,
}

impl Url {
    /// Takes a URL apart; `None` if it is not one of `http` or `https`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let default_port = match scheme.to_ascii_lowercase().as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty()
            || authority.contains('@')
            || authority.parse::<http::uri::Authority>().is_err()
        {
            return None;
        }
        let target = target.split('#').next().unwrap_or_default();
        let root = if target.starts_with('/') { "" } else { "/" };
        let host = authority.strip_suffix(default_port).unwrap_or(authority);
        Some(Self {
            origin: format!("{scheme}://{authority}"),
            host: host.to_owned(),
            target: format!("{root}{target}"),
        })
    }

    /// With the query spelt so that everybody reads it alike.
    pub(super) fn respelt(mut self) -> Self {
        if let Some((path, query)) = self.target.split_once('?') {
            self.target = format!("{path}?{}", respell_query(query));
        }
        self
    }
}
