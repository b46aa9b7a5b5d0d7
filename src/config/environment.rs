//! The environment variables, read once: the only reader of the process's environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use secrecy::zeroize::Zeroize;

/// The prefix of the proxy's own variables.
pub(super) const PREFIX: &str = "APIG_PROXY_";

/// Variables, without the prefix, that set no key: the path of the configuration, and those that `run`
/// and `env` set for programs, which may start another proxy.
const NO_KEYS: [&str; 3] = ["CONFIG", "TOKEN", "URL"];

/// What `run` sets for its program, which may start another proxy: it leads to that run, and not to the
/// cloud. A variable, how its value begins, and what goes with it.
const OF_RUN: [(&str, &str, &str); 3] = [
    ("HUAWEICLOUD_SDK_AK", "APX", "HUAWEICLOUD_SDK_SK"),
    ("CLOUD_SDK_AK", "APX", "CLOUD_SDK_SK"),
    ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "http://127.0.0.1:", ""),
];

/// A copy of the environment. Its values are zeroized on drop, since some are secrets; the
/// environment block of the process cannot be.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn from_env() -> Self {
        Self(std::env::vars_os().collect()).without_run()
    }

    fn without_run(mut self) -> Self {
        let is_in_run = self.get("APIG_PROXY_TOKEN").is_some();
        for (name, start, more) in OF_RUN {
            let value = self.text(name).filter(|_| is_in_run);
            if value.is_some_and(|value| value.starts_with(start)) {
                self.0.retain(|other, _| other != name && other != more);
            }
        }
        self
    }

    /// An environment of these variables.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |(name, value): (&'a str, &'a str)| (name.into(), value.into());
        Self(pairs.into_iter().map(own).collect())
    }

    /// The value of a variable; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of a variable as text; `None` also if it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// The value of a variable as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The value of a variable that holds a secret, without the white space around it that copying
    /// adds.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        let value = self.text(name)?.trim();
        (!value.is_empty()).then(|| value.into())
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let variables = self.0.iter();
        variables.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Names and values of the variables that set a key of the configuration.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().filter_map(|(name, value)| {
            let name = name.to_str()?;
            let key = name.strip_prefix(PREFIX)?;
            let is_key = !value.is_empty() && !NO_KEYS.contains(&key) && !is_service_link(key);
            is_key.then_some((name, value.as_os_str()))
        })
    }
}

/// True for variables, without the prefix, that Kubernetes sets in every pod for a Service called
/// `apig-proxy`: its host and ports, which are not configuration.
fn is_service_link(key: &str) -> bool {
    let parts: Vec<&str> = key.split('_').collect();
    matches!(
        parts[..],
        ["SERVICE", "HOST" | "PORT", ..] | ["PORT"] | ["PORT", _, "TCP" | "UDP" | "SCTP", ..]
    )
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
        let keys = |names: &str| {
            let names: Vec<String> = names
                .split(' ')
                .map(|name| format!("{PREFIX}{name}"))
                .collect();
            let pairs = names.iter().map(|name| (name.as_str(), "x"));
            Environment::from_pairs(pairs).keys().count()
        };
        let linked = "SERVICE_HOST SERVICE_PORT SERVICE_PORT_HTTP PORT PORT_8080_TCP PORT_8080_TCP_ADDR PORT_53_UDP_PROTO";
        assert_eq!(keys(linked), 0);
        assert_eq!(keys("CONFIG URL TOKEN PORT_X STAGE"), 2);
    }

    #[test]
    fn the_key_and_the_iam_of_a_run_are_not_those_of_another_proxy() {
        let left = |token| {
            let key = [("APIG_PROXY_TOKEN", token), (OF_RUN[0].2, "x")];
            let run = OF_RUN.map(|(name, start, _)| (name, start));
            let pairs = key.into_iter().chain(run);
            Environment::from_pairs(pairs).without_run().0.len()
        };
        assert_eq!((left("apx_x"), left("")), (1, 5));
    }

    #[test]
    fn values_are_not_shown_and_empty_ones_are_unset() {
        let environment = Environment::from_pairs([("A", ""), ("B", " \n"), ("SK", "MARKER")]);
        assert_eq!(format!("{environment:?}"), "{\"A\", \"B\", \"SK\"}");
        assert!(environment.get("A").is_none() && environment.secret("B").is_none());
    }
}
