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

    /// Reads the keys that begin with `table`; each has a default.
    pub(super) fn read(reader: &mut Reader, table: &str, defaults: &Self) -> Self {
        const INCOMPLETE: &str = "`V11-HMAC-SHA256` derives keys for a region and a service\n\
            hint: set `region` and `service` too";
        let key = |key: &str| format!("{table}{key}");
        let names = Algorithm::NAMES.map(|name| (name, name));
        let algorithm = reader.find(&key("algorithm"), word(names));
        let mut scope = |name: &str, default: &String| {
            let scope = reader.find(&key(name), optional(scope)).flatten();
            scope.unwrap_or_else(|| default.clone())
        };
        let signing = Self {
            region: scope("region", &defaults.region),
            service: scope("service", &defaults.service),
            algorithm: algorithm.unwrap_or(defaults.algorithm),
        };
        let is_derived = matches!(signing.algorithm(), Algorithm::V11HmacSha256 { .. });
        if is_derived && (signing.region.is_empty() || signing.service.is_empty()) {
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
