//! What `gateway` leaves in its folder for callers, beside the configuration of a proxy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{Place, Running, exchange};

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
        wait_for(&folder.join("apig-proxy.toml"));
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

    /// What a service answers.
    fn post(&self, url: &str, header: &str, body: &str) -> String {
        let (host, path) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let length = body.len();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        exchange(host.parse().unwrap(), &request)
    }
}

fn wait_for(path: &Path) {
    for _ in 0..2000 {
        if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn the_gateway_command_leaves_what_its_services_ask_for() {
    let gateway = Gateway::start();
    let user = format!(
        r#"{{"name":"{}","password":"{}","domain":{{"name":"{}"}}}}"#,
        gateway.read("iam_user"),
        gateway.read("iam_password"),
        gateway.read("iam_domain")
    );
    let body = format!(
        r#"{{"auth":{{"identity":{{"methods":["password"],"password":{{"user":{user}}}}}}}}}"#
    );
    let iam = gateway.variable("HUAWEICLOUD_SDK_IAM_ENDPOINT");
    let answer = gateway.post(&format!("{iam}/v3/auth/tokens"), "", &body);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let token = gateway.variable("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let token = fs::read_to_string(token).unwrap();
    let answer = gateway.post(
        &gateway.variable("HC_CONTAINER_CREDENTIALS_FULL_URI"),
        &format!("Authorization: {token}\r\n"),
        "{}",
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn the_gateway_command_keeps_its_secrets_to_its_user_and_says_none() {
    let gateway = Gateway::start();
    let services = gateway.variable("HUAWEICLOUD_SDK_STS_ENDPOINT");
    let Gateway {
        running,
        folder,
        place: _place,
    } = gateway;
    let (code, said) = running.stop();
    assert_eq!(code, 0);
    assert!(said.contains(&services), "{said}");
    for name in [
        "iam_password",
        "app_code",
        "api_key",
        "pod_token",
        "id_token",
        "credentials.csv",
        "app.csv",
    ] {
        let path = folder.join(name);
        let content = fs::read_to_string(&path).unwrap();
        let secret = content.trim().rsplit(',').next().unwrap();
        assert!(!secret.is_empty() && !said.contains(secret), "{name}");
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn one_word_of_its_configuration_changes_what_the_proxy_shows() {
    let gateway = Gateway::start();
    let text = gateway.read("apig-proxy.toml");
    let cases = [
        ("mode = \"aksk\"", "mode = \"aksk\"", "aksk"),
        ("mode = \"aksk\"", "mode = \"token\"", "token"),
        ("mode = \"aksk\"", "mode = \"app-code\"", "app-code"),
        ("mode = \"aksk\"", "mode = \"api-key\"", "api-key"),
        ("file = \"credentials.csv\"", "file = \"app.csv\"", "app"),
        (
            "file = \"credentials.csv\"",
            "source = \"metadata\"",
            "aksk",
        ),
    ];
    for (said, instead, auth) in cases {
        assert!(text.contains(said), "{text}");
        fs::write(
            gateway.folder.join("apig-proxy.toml"),
            text.replace(said, instead),
        )
        .unwrap();
        let config = gateway.folder.join("apig-proxy.toml");
        let arguments = [
            "--config",
            config.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
        ];
        let mut command = gateway.place.command(&arguments, &[]);
        command.env_remove("APIG_PROXY_CREDENTIALS__METADATA_ENDPOINT");
        let mut proxy = Running::start(command);
        let request = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = exchange(proxy.address(), request);
        let expected = format!("\"auth\":\"{auth}\"");
        assert!(answer.contains(&expected), "{instead}: {answer}");
        assert_eq!(proxy.stop().0, 0);
    }
}
