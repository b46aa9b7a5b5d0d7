//! The algorithm of signatures: the keys of `[signing]` and of each route.

use super::reader::Reader;
use super::value::{optional, word};
use crate::signature::Algorithm;

/// The algorithm of a route's signatures (`signing.algorithm`), and what keys are derived for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSigning {
    /// One of [`Algorithm::NAMES`].
    pub algorithm: &'static str,
    /// The region, for `V11-HMAC-SHA256`.
    pub region: String,
    /// The service, for `V11-HMAC-SHA256`.
    pub service: String,
}

impl RouteSigning {
    pub(crate) fn algorithm(&self) -> Algorithm<'_> {
        let algorithm = Algorithm::from_name(self.algorithm, &self.region, &self.service);
        algorithm.expect("the configuration has a known algorithm")
    }

    /// Reads the keys that begin with `table`, over those of `[signing]`, which are read for an empty
    /// one. What they lack is reported if a route uses them.
    pub(super) fn read(reader: &mut Reader, table: &str, is_used: bool) -> Self {
        const INCOMPLETE: &str = "`V11-HMAC-SHA256` derives keys for a region and a service\n\
            hint: set `region` and `service` too";
        let (table, defaults) = match table {
            "" => ("signing.", Self::default()),
            table => (table, Self::read(reader, "", false)),
        };
        let key = |key: &str| format!("{table}{key}");
        let names = Algorithm::NAMES.map(|name| (name, name));
        let algorithm = reader.find(&key("algorithm"), word(names));
        let mut scope = |name: &str, default: String| {
            // A wrong one is reported as such, and not as missing.
            let set = reader.is_set(&key(name)).then(|| Some(name.to_owned()));
            let found = reader.find(&key(name), optional(scope)).or(set);
            found.flatten().unwrap_or(default)
        };
        let signing = Self {
            region: scope("region", defaults.region),
            service: scope("service", defaults.service),
            algorithm: algorithm.unwrap_or(defaults.algorithm),
        };
        let is_derived = matches!(signing.algorithm(), Algorithm::V11HmacSha256 { .. });
        let is_incomplete = signing.region.is_empty() || signing.service.is_empty();
        if is_used && is_derived && is_incomplete {
            reader.report(&key("algorithm"), INCOMPLETE);
        }
        signing
    }
}

impl Default for RouteSigning {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default().name(),
            region: String::new(),
            service: String::new(),
        }
    }
}

/// The name of a region or a service.
pub(crate) fn scope(text: &str) -> Result<String, &'static str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = text.bytes().all(is_name).then(|| text.to_owned());
    name.ok_or("expected a name like `cn-north-4` or `iotdm`")
}
