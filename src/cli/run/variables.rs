//! The variables that lead a program to the proxy, those that it must not have, and the files with secrets
//! that it can read all the same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use memchr::memmem;
use rustix::fs;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, Environment, IssuedCaller, RunConfig, TokenSource};
use crate::escape::Escaped;

/// Variables that hold a secret or lead to one, beside those that are set anew.
const SECRETS: [&str; 14] = [
    "HUAWEICLOUD_SDK_SECURITY_TOKEN",
    "HUAWEICLOUD_SDK_ID_TOKEN_FILE",
    "HUAWEICLOUD_SDK_IDP_ID",
    "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
    "CLOUD_SDK_SECURITY_TOKEN",
    "HW_SECRET_KEY",
    "HW_SECURITY_TOKEN",
    "HW_AUTH_TOKEN",
    "OS_SECRET_KEY",
    "OS_SECURITY_TOKEN",
    "OS_PASSWORD",
    "OS_TOKEN",
    "OS_AUTH_TOKEN",
    "CREDENTIALS_DIRECTORY",
];

const SECRET_PREFIXES: [&str; 3] = ["HC_CONTAINER_", "HUAWEICLOUD_OIDC_", "APIG_PROXY_"];

/// The shortest secret that is looked for in values, in bytes: others are too likely something else.
const MIN_SECRET: usize = 8;

/// Hosts that are not reached through the proxy of the network.
const OWN_HOSTS: &str = "127.0.0.1,localhost";

/// How a program reaches the proxy, and shows who it is.
pub(in crate::cli) struct Access<'a> {
    /// The URL of the proxy, without a slash at its end.
    pub(in crate::cli) url: String,
    pub(in crate::cli) port: u16,
    /// The URLs of services by name: `vpc.cn-north-4`, or `iam`.
    pub(in crate::cli) services: Vec<(String, String)>,
    /// The credentials of the program; `None` if they are not known.
    pub(in crate::cli) caller: Option<&'a IssuedCaller>,
}

/// Variables to set, by name.
pub(in crate::cli) type Variables = BTreeMap<String, String>;

impl Access<'_> {
    /// The variables to set. Those that need unknown credentials are left out.
    pub(in crate::cli) fn variables(
        &self,
        run: &RunConfig,
        environment: &Environment,
    ) -> Variables {
        let mut variables = Variables::new();
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        set("APIG_PROXY_URL", &self.url);
        for (service, url) in &self.services {
            set(&service_variable(service), url);
        }
        if let Some(path) = &run.openai {
            set("OPENAI_BASE_URL", &format!("{}{path}", self.url));
        }
        if let Some(caller) = self.caller {
            let token = caller.token.expose_secret();
            set("APIG_PROXY_TOKEN", token);
            // As SDKs read it, and as the samples of the API Explorer do.
            for start in ["HUAWEICLOUD_SDK_", "CLOUD_SDK_"] {
                set(&format!("{start}AK"), &caller.access_key);
                set(&format!("{start}SK"), caller.secret_key.expose_secret());
            }
            if run.openai.is_some() {
                set("OPENAI_API_KEY", token);
            }
        }
        variables.extend(no_proxy(environment));
        let expanded = run
            .variables
            .iter()
            .filter_map(|(name, template)| Some((name.clone(), self.expand(template)?)));
        variables.extend(expanded);
        variables
    }

    /// A template with what it names; `None` if that is not known. Other braces stay as they are.
    fn expand(&self, template: &str) -> Option<String> {
        let expanded = template.replace("{url}", &self.url);
        let mut expanded = expanded.replace("{port}", &self.port.to_string());
        // No value has braces, so nothing is expanded twice.
        for name in ["{ak}", "{sk}", "{token}"] {
            if expanded.contains(name) {
                let caller = self.caller?;
                let value = match name {
                    "{ak}" => &caller.access_key,
                    "{sk}" => caller.secret_key.expose_secret(),
                    _ => caller.token.expose_secret(),
                };
                expanded = expanded.replace(name, value);
            }
        }
        Some(expanded)
    }
}

/// The variable in which SDKs look for the URL of a service.
fn service_variable(service: &str) -> String {
    let name = service.to_ascii_uppercase().replace(['.', '-'], "_");
    match name.as_str() {
        "IAM" => "HUAWEICLOUD_SDK_IAM_ENDPOINT".to_owned(),
        name => format!("HUAWEICLOUD_SDK_REGION_{name}"),
    }
}

/// Both spellings of `NO_PROXY`, with this machine added. Programs prefer either of them, so what
/// one lacks comes from the other.
fn no_proxy(environment: &Environment) -> [(String, String); 2] {
    ["NO_PROXY", "no_proxy"].map(|name| {
        let set = ["NO_PROXY", "no_proxy"]
            .into_iter()
            .find_map(|any| environment.text(any));
        let value = match environment.text(name).or(set) {
            Some(hosts) if hosts == "*" || hosts.ends_with(OWN_HOSTS) => hosts.to_owned(),
            Some(hosts) => format!("{hosts},{OWN_HOSTS}"),
            None => OWN_HOSTS.to_owned(),
        };
        (name.to_owned(), value)
    })
}

/// The names of the variables that the program must not have: those that are known to hold secrets
/// or to lead to them, and those that hold one of these secrets under another name.
pub(super) fn secret_variables<'e>(
    environment: &'e Environment,
    secrets: &[SecretString],
) -> Vec<&'e OsStr> {
    let holds = |value: &OsStr, secret: &SecretString| {
        let secret = secret.expose_secret().as_bytes();
        secret.len() >= MIN_SECRET && memmem::find(value.as_bytes(), secret).is_some()
    };
    let holds_secret = |value| secrets.iter().any(|secret| holds(value, secret));
    let variables = environment.variables();
    let secret = variables.filter(|(name, value)| is_secret(name) || holds_secret(value));
    secret.map(|(name, _)| name).collect()
}

/// True if the variable of this name holds a secret or leads to one.
fn is_secret(name: &OsStr) -> bool {
    let has_prefix = |prefix: &&str| name.as_bytes().starts_with(prefix.as_bytes());
    SECRETS.iter().any(|secret| name == *secret) || SECRET_PREFIXES.iter().any(has_prefix)
}

/// The files with secrets that are there and that the program can read.
pub(super) fn readable_secrets(config: &Config, environment: &Environment) -> Vec<String> {
    let in_home = |path: &str| environment.path("HOME").map(|home| home.join(path));
    let mut files: Vec<PathBuf> = Vec::new();
    for set in &config.credentials {
        files.push(set.file.clone());
        files.extend(set.app_code.clone());
        files.extend(set.api_key.clone());
        match &set.token {
            Some(TokenSource::File(path)) => files.push(path.clone()),
            Some(TokenSource::Iam(user)) => files.push(user.password.clone()),
            None => {}
        }
    }
    let client = config.upstream_tls.client.as_ref();
    files.extend(client.map(|files| files.key.clone()));
    let named = [
        "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
        "HUAWEICLOUD_OIDC_TOKEN_FILE",
        "CREDENTIALS_DIRECTORY",
    ];
    files.extend(named.into_iter().filter_map(|name| environment.path(name)));
    let usual = [
        ".huaweicloud/credentials",
        ".hcloud/config.json",
        ".obsutilconfig",
    ];
    files.extend(usual.into_iter().filter_map(in_home));
    files.retain(|path| fs::access(path, fs::Access::READ_OK).is_ok());
    files.sort_unstable();
    files.dedup();
    let shown = files.iter().map(|path| Escaped(path.display()).to_string());
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rights;

    fn access(caller: Option<&IssuedCaller>) -> Access<'_> {
        Access {
            url: "http://127.0.0.1:4000".to_owned(),
            port: 4000,
            services: Vec::new(),
            caller,
        }
    }

    #[test]
    fn templates_expand_what_is_known_once_and_leave_everything_else() {
        let (caller, _) = IssuedCaller::new("x", Rights::default());
        let known = access(Some(&caller));
        let [ak, token] = [&caller.access_key, caller.token.expose_secret()];
        for (template, expected) in [
            ("{url}/flowers", "http://127.0.0.1:4000/flowers"),
            ("{port}{port}", "40004000"),
            ("{ak}:{token}", &format!("{ak}:{token}")),
            ("{\"a\": {}, {b", "{\"a\": {}, {b"),
            ("{{url}}", "{http://127.0.0.1:4000}"),
            ("{URL} {secret}", "{URL} {secret}"),
            ("", ""),
        ] {
            assert_eq!(known.expand(template).as_deref(), Some(expected));
        }
        assert_eq!(access(None).expand("{url}{sk}"), None);
    }

    #[test]
    fn this_machine_is_added_to_both_spellings_of_no_proxy() {
        let one = format!("corp.example,{OWN_HOSTS}");
        for (upper, lower, expected) in [
            ("", "", [OWN_HOSTS; 2]),
            ("corp.example", "", [&one; 2]),
            ("corp.example", "*", [&one, "*"]),
        ] {
            let set = [("NO_PROXY", upper), ("no_proxy", lower)];
            let set = set.into_iter().filter(|(_, value)| !value.is_empty());
            let values = no_proxy(&Environment::from_pairs(set)).map(|(_, value)| value);
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn secrets_are_found_by_name_and_by_value() {
        let environment = Environment::from_pairs([
            ("APIG_PROXY_STAGE", "x"),
            ("HC_CONTAINER_CREDENTIALS_FULL_URI", "x"),
            ("HUAWEICLOUD_SDK_AK", "x"),
            ("MINE", "sk=MARKER-of-mine;"),
            ("OS_PASSWORD", "x"),
            ("PATH", "/bin"),
        ]);
        let found = secret_variables(&environment, &["MARKER-of-mine".into(), "x".into()]);
        let metadata = "HC_CONTAINER_CREDENTIALS_FULL_URI";
        assert_eq!(found, ["APIG_PROXY_STAGE", metadata, "MINE", "OS_PASSWORD"]);
    }
}
