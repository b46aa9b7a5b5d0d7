//! Where secrets must not be seen: logs at any level, answers, the command line, messages.

mod commands;
mod echo;
mod issued;
mod logs;

use crate::gateway::gateway;
use crate::program::{AK, Place};

const SECRET: &str = "MARKERsecretMARKERsecretMARKERsecretMARK";
const TOKEN: &str = "MARKERtoken";

/// A proxy that nothing reaches, with a password.
const EGRESS: (&str, &str) = ("HTTPS_PROXY", "http://user:MARKER@127.0.0.1:9");

/// What the secret, the token and the password begin with, also as `Proxy-Authorization` has it.
const TRACES: [&str; 4] = ["MARKERsecret", "MARKERtoken", "user:MARKER", "dXNlcjpNQVJL"];

/// Where a key is from: the keys of `[credentials]`, the variables, and whether there is a token.
struct Source {
    name: &'static str,
    keys: &'static str,
    variables: Vec<(&'static str, String)>,
    has_token: bool,
}

impl Source {
    fn new(name: &'static str, keys: &'static str, has_token: bool) -> Self {
        Self {
            name,
            keys,
            variables: Vec::new(),
            has_token,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let own = self.variables.iter();
        let own = own.map(|(name, value)| (*name, value.as_str()));
        own.chain([EGRESS]).collect()
    }

    fn all(place: &Place) -> Vec<Self> {
        for (name, content) in [
            (
                "keys.csv",
                format!("User Name,Access Key Id,Secret Access Key\n\"me\",{AK},\"{SECRET}\"\n"),
            ),
            (
                "profile",
                format!("[basic]\nak={AK}\nsk={SECRET}\nsecurity_token={TOKEN}\n"),
            ),
            (
                "hcloud.json",
                format!(
                    r#"{{"profiles":[{{"accessKeyId":"{AK}","secretAccessKey":"{SECRET}","securityToken":"{TOKEN}"}}]}}"#
                ),
            ),
            ("access_key", AK.to_owned()),
            ("secret_key", SECRET.to_owned()),
            ("security_token", TOKEN.to_owned()),
        ] {
            place.file(name, &content);
        }
        let folder = place.path().to_str().unwrap();
        vec![
            Self::new("csv", "file = \"keys.csv\"", false),
            Self::new("profile", "file = \"profile\"", true),
            Self::new("hcloud", "file = \"hcloud.json\"", true),
            Self::new("systemd", "", true).with("CREDENTIALS_DIRECTORY", folder),
            Self::new("environment", "source = \"env\"", true)
                .with("HUAWEICLOUD_SDK_AK", AK)
                .with("HUAWEICLOUD_SDK_SK", SECRET)
                .with("HUAWEICLOUD_SDK_SECURITY_TOKEN", TOKEN),
        ]
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
