//! Where secrets must not be seen: logs at any level, answers, the command line, messages.

mod commands;
mod echo;
mod issued;
mod logs;

use serde_json::json;

use crate::gateway::gateway;
use crate::program::{AK, Place, key_file};

const SECRET: &str = "MARKERsecretMARKERsecretMARKERsecretMARK";
const TOKEN: &str = "MARKERtoken";

/// A proxy that nothing reaches, with a password.
const EGRESS: (&str, &str) = ("HTTPS_PROXY", "http://user:MARKER@127.0.0.1:9");

/// What the secret, the token and the password begin with, also as `Proxy-Authorization` has it.
const TRACES: [&str; 4] = ["MARKERsecret", "MARKERtoken", "user:MARKER", "dXNlcjpNQVJL"];

/// Where a key is from: the keys of `[credentials]`, the variables as `NAME=value`, and whether there is a token.
struct Source {
    name: &'static str,
    keys: &'static str,
    variables: String,
    has_token: bool,
}

impl Source {
    fn variables(&self) -> Vec<(&str, &str)> {
        let pairs = self.variables.split_whitespace();
        let own = pairs.map(|pair| pair.split_once('=').unwrap());
        own.chain([EGRESS]).collect()
    }

    fn all(place: &Place) -> Vec<Self> {
        key_file(place, "keys.csv", SECRET);
        let profile = format!("[basic]\nak={AK}\nsk={SECRET}\nsecurity_token={TOKEN}\n");
        let hcloud = json!({"profiles": [{"accessKeyId": AK, "secretAccessKey": SECRET, "securityToken": TOKEN}]});
        for (name, content) in [
            ("profile", &*profile),
            ("hcloud.json", &hcloud.to_string()),
            ("access_key", AK),
            ("secret_key", SECRET),
            ("security_token", TOKEN),
        ] {
            place.file(name, content);
        }
        let folder = format!("CREDENTIALS_DIRECTORY={}", place.path().display());
        let key = format!(
            "HUAWEICLOUD_SDK_AK={AK} HUAWEICLOUD_SDK_SK={SECRET} HUAWEICLOUD_SDK_SECURITY_TOKEN={TOKEN}"
        );
        let source = |(name, keys, variables, has_token)| Self {
            name,
            keys,
            variables,
            has_token,
        };
        let sources = [
            ("csv", "file = \"keys.csv\"", String::new(), false),
            ("profile", "file = \"profile\"", String::new(), true),
            ("hcloud", "file = \"hcloud.json\"", String::new(), true),
            ("systemd", "", folder, true),
            ("environment", "source = \"env\"", key, true),
        ];
        sources.map(source).into()
    }
}

/// A gateway that takes the key, one that knows another secret, and one behind the network's proxy.
fn configure(place: &Place, source: &Source, log: &str) {
    let token = source.has_token.then_some(TOKEN);
    let wrong = Place::new();
    let refusing = gateway(&wrong, "another", token);
    let taking = gateway(place, SECRET, token);
    let roots =
        [place, &wrong].map(|of| std::fs::read_to_string(of.path().join("ca.pem")).unwrap());
    place.file("ca.pem", &roots.concat());
    place.file(
        "apig-proxy.toml",
        &format!(
            "upstream = \"https://{taking}\"\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
             [credentials]\n{}\n[upstream_tls]\nca_file = \"ca.pem\"\n[log]\n{log}\n\
             [[route]]\npath = \"/refused\"\nupstream = \"https://{refusing}\"\n\
             [[route]]\npath = \"/out\"\nupstream = \"https://gateway.invalid\"\n",
            source.keys
        ),
    );
}

fn assert_clean(what: &str, text: &str, traces: &[&str]) {
    for trace in traces {
        assert!(!text.contains(trace), "{what} shows {trace}: {text}");
    }
}
