//! What `gateway` leaves in its folder for callers, beside the configuration of a proxy.

use std::fs;
use std::path::PathBuf;

use crate::program::{GET, Place, Running, assert_has, exchange, mode, wait_until};

/// The gateway, and the folder that it has filled.
struct Gateway {
    running: Running,
    folder: PathBuf,
    place: Place,
}

impl Gateway {
    fn start() -> Self {
        let place = Place::new();
        let folder = place.path().join("gateway");
        let dir = folder.to_str().unwrap();
        let arguments = ["gateway", "--listen", "127.0.0.1:0", "--dir", dir];
        let running = Running::start(place.command(&arguments, &[]));
        let config = folder.join("apig-proxy.toml");
        wait_until("the gateway has written its folder", || {
            fs::metadata(&config).is_ok_and(|file| file.len() > 0)
        });
        Self {
            running,
            folder,
            place,
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// The value of a variable in `identity.env`.
    fn variable(&self, name: &str) -> String {
        let text = self.read("identity.env");
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix("='"));
        values.next().unwrap().trim_end_matches('\'').to_owned()
    }
}

#[test]
fn the_gateway_command_keeps_its_secrets_to_its_user_and_says_none() {
    let gateway = Gateway::start();
    let services = gateway.variable("HUAWEICLOUD_SDK_STS_ENDPOINT");
    let (running, folder, _place) = (gateway.running, gateway.folder, gateway.place);
    let said = running.stops();
    assert_has(&said, &[&services, "apig-proxy --config "]);
    assert!(!said.contains("Secret"), "{said}");
    let names = "iam_password app_code api_key pod_token id_token credentials.csv app.csv";
    for name in names.split(' ') {
        let path = folder.join(name);
        let content = fs::read_to_string(&path).unwrap();
        let secret = content.trim().rsplit(',').next().unwrap();
        assert!(!secret.is_empty() && !said.contains(secret), "{name}");
        assert_eq!(mode(&path), 0o600, "{name}");
    }
}

#[test]
fn one_word_of_its_configuration_changes_what_the_proxy_shows() {
    let gateway = Gateway::start();
    let text = gateway.read("apig-proxy.toml");
    let (mode, file) = ("mode = \"aksk\"", "file = \"credentials.csv\"");
    let config = gateway.folder.join("apig-proxy.toml");
    for (before, after, auth) in [
        (mode, mode, "aksk"),
        (mode, "mode = \"token\"", "token"),
        (mode, "mode = \"app-code\"", "app-code"),
        (mode, "mode = \"api-key\"", "api-key"),
        (file, "file = \"app.csv\"", "app"),
        (file, "source = \"metadata\"", "aksk"),
    ] {
        assert_has(&text, &[before]);
        fs::write(&config, text.replace(before, after)).unwrap();
        let config = config.to_str().unwrap();
        let arguments = ["--config", config, "--listen", "127.0.0.1:0"];
        let mut command = gateway.place.command(&arguments, &[]);
        command.env_remove("APIG_PROXY_CREDENTIALS__METADATA_ENDPOINT");
        let mut proxy = Running::start(command);
        let answer = exchange(proxy.address(), GET);
        let auth = format!("\"auth\":\"{auth}\"");
        assert_has(&answer, &["HTTP/1.1 200 ", "\"verified\":true", &auth]);
        proxy.stops();
    }
}
