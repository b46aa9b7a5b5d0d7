//! The environment variables, read once: the only reader of the process's environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

/// Beginning of the names of the proxy's own variables.
pub(super) const PREFIX: &str = "APIG_PROXY_";

/// A copy of the environment. Its values are wiped when it is dropped, since some are secrets; the
/// environment block, which the system keeps for the process, cannot be.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// An environment of these variables.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The value of a variable; `None` if it is not set, or set to nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a variable as text; `None` also if it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// The value of a variable as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The value of a variable that holds a secret, without the white space around it that copying adds.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(SecretString::from)
    }

    /// Names and values of the variables that set a key of the configuration to something.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().filter_map(|(name, value)| {
            let name = name.to_str()?;
            let key = name.strip_prefix(PREFIX)?;
            let says = !value.is_empty() && key != "CONFIG" && !is_service_link(key);
            says.then_some((name, value.as_os_str()))
        })
    }
}

/// Whether a name, without the prefix, is one that Kubernetes sets in every pod beside a Service that
/// is called `apig-proxy`: its host and its ports, which nobody meant as configuration.
fn is_service_link(key: &str) -> bool {
    let is_link = |rest: &str| {
        let mut parts = rest.split('_');
        let (number, protocol, what) = (parts.next(), parts.next(), parts.next());
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(protocol, Some("TCP" | "UDP" | "SCTP"))
            && matches!(what, None | Some("ADDR" | "PORT" | "PROTO"))
    };
    matches!(key, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || key.starts_with("SERVICE_PORT_")
        || key.strip_prefix("PORT_").is_some_and(is_link)
}

impl Drop for Environment {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            std::mem::take(value).into_encoded_bytes().zeroize();
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_no_keys() {
        let names = [
            "APIG_PROXY_SERVICE_HOST",
            "APIG_PROXY_SERVICE_PORT",
            "APIG_PROXY_SERVICE_PORT_HTTP",
            "APIG_PROXY_PORT",
            "APIG_PROXY_PORT_8080_TCP",
            "APIG_PROXY_PORT_8080_TCP_ADDR",
            "APIG_PROXY_PORT_53_UDP_PROTO",
            "APIG_PROXY_CONFIG",
        ];
        let environment = Environment::from_pairs(names.map(|name| (name, "x")));
        assert_eq!(environment.keys().count(), 0);
        let environment = Environment::from_pairs([
            ("APIG_PROXY_PORT_X", "1"),
            ("APIG_PROXY_STAGE", "1"),
            ("OTHER", "1"),
            ("APIG_PROXY_ADMIN", ""),
        ]);
        assert_eq!(environment.keys().count(), 2);
    }

    #[test]
    fn debug_shows_names_only() {
        let environment = Environment::from_pairs([("HUAWEICLOUD_SDK_SK", "MARKER")]);
        assert_eq!(format!("{environment:?}"), "{\"HUAWEICLOUD_SDK_SK\"}");
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_not_set() {
        let environment = Environment::from_pairs([("A", ""), ("B", " \n")]);
        assert!(environment.get("A").is_none() && environment.secret("B").is_none());
    }
}
