//! Paths that lead to a FIFO, a device, a directory or a file without end, in the place of each file that
//! the program reads: it says so and ends, or goes on with what it has, and never waits.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::CertifiedKey;

use crate::gateway::{gateway, hang_up};
use crate::program::{
    BINARY, KEY, Place, Running, SECRET, SERVE, assert_has, assert_status, exchange, finish,
    key_file, kill_after, signal,
};

const CALLER_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What a path may lead to, and what the message says of it.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Fifo, "is a pipe"),
    (Kind::Device, "is a device"),
    (Kind::Directory, "is a directory"),
    (Kind::TooLong, "is larger than 1 MiB"),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Fifo,
    Device,
    Directory,
    TooLong,
}

/// Puts something else in the place of a file.
fn put(path: &Path, kind: Kind) {
    remove(path);
    match kind {
        Kind::Fifo => {
            let made = Command::new("mkfifo")
                .args(["-m", "600"])
                .arg(path)
                .status();
            assert!(made.unwrap().success());
        }
        Kind::Device => symlink("/dev/zero", path).unwrap(),
        Kind::Directory => {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        Kind::TooLong => {
            fs::write(path, vec![b'#'; (1 << 20) + 1]).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Configurations and variables with which the program reads the file `x`. `KEY` stands for the variables of a key.
const SETTINGS: &str = "
    credentials.file = 'x' |
    auth.mode = 'token'; credentials.token_file = 'x' |
    auth.mode = 'app-code'; credentials.app_code_file = 'x' |
    auth.mode = 'api-key'; credentials.api_key_file = 'x' |
    auth.mode = 'token'; credentials = { iam_user_file = 'x', iam_password_file = 'word', iam_domain_file = 'word' } |
    auth.mode = 'token'; credentials = { iam_user_file = 'word', iam_password_file = 'x', iam_domain_file = 'word' } |
    auth.mode = 'token'; credentials = { iam_user_file = 'word', iam_password_file = 'word', iam_domain_file = 'x' } |
    access.token_file = 'x' | KEY
    tls.cert_file = 'x'; tls.key_file = 'key.pem' | KEY
    tls.cert_file = 'cert.pem'; tls.key_file = 'x' | KEY
    tls = { cert_file = 'cert.pem', key_file = 'key.pem', client_ca_file = 'x' } | KEY
    upstream_tls.ca_file = 'x' | KEY
    | KEY SSL_CERT_FILE=x
    credentials.source = 'profile' | HUAWEICLOUD_SDK_CREDENTIALS_FILE=x
    | HUAWEICLOUD_OIDC_PROVIDER_URN=p HUAWEICLOUD_OIDC_AGENCY_URN=a HUAWEICLOUD_OIDC_TOKEN_FILE=x
    | HUAWEICLOUD_SDK_IDP_ID=i HUAWEICLOUD_SDK_ID_TOKEN_FILE=x
    | HC_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:1/ HC_CONTAINER_AUTHORIZATION_TOKEN_FILE=x
    | CREDENTIALS_DIRECTORY=systemd1
    | CREDENTIALS_DIRECTORY=systemd2";

fn certificate(place: &Place) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    place.file("cert.pem", &cert.pem());
    place.file("key.pem", &signing_key.serialize_pem());
}

#[test]
fn fault_101_a_start_with_something_else_than_a_file_ends_with_a_message() {
    let place = Place::new();
    certificate(&place);
    place.file("word", "word");
    let path = place.path().join("x");
    for (folder, part) in [("systemd1", "credentials.csv"), ("systemd2", "access_key")] {
        fs::create_dir(place.path().join(folder)).unwrap();
        symlink("../x", place.path().join(folder).join(part)).unwrap();
    }
    for (kind, expected) in KINDS {
        put(&path, kind);
        for setting in SETTINGS.trim().lines() {
            let (text, variables) = setting.split_once('|').unwrap();
            let [access_key, secret] = KEY.map(|(name, value)| format!("{name}={value}"));
            let variables = variables.replace("KEY", &format!("{access_key} {secret}"));
            let pairs = variables.split_whitespace();
            let variables: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap()).collect();
            let serve = "listen = '127.0.0.1:0'\nupstream = 'https://127.0.0.1:1'";
            place.file("c.toml", &format!("{serve}\n{}\n", text.replace(';', "\n")));
            place.fails(&["--config", "c.toml"], &variables, 78, &[expected]);
        }
        let arguments = [&["--config", "x"], &SERVE[..]].concat();
        let check = [&["check", "config"], &arguments[..]].concat();
        place.fails(&arguments, &KEY, 78, &[expected]);
        place.fails(&check, &KEY, 78, &[expected]);
        let sign = ["sign", "--credentials", "x", "https://gw.example/"];
        place.fails(&sign, &[], 78, &[expected]);
    }
}

#[test]
fn fault_101_process_substitution_is_refused_with_what_to_do_instead() {
    let arguments = [&SERVE[..], &["--credentials", "<(sleep 10 2>&-)"]].concat();
    let (code, _, said) = bash(&format!("exec {BINARY} {}", arguments.join(" ")));
    assert_eq!(code, 78, "{said}");
    assert_has(&said, &["write the content to a regular file"]);
}

#[test]
fn what_sign_and_verify_are_piped_is_read() {
    let sign = format!("{BINARY} sign https://gw.example/ --data-file");
    let (code, printed, said) = bash(&format!(
        "{sign} <(echo body) && echo body | {sign} /dev/stdin"
    ));
    assert_eq!(code, 0, "{said}");
    assert_eq!(printed.matches("SDK-HMAC-SHA256").count(), 2, "{printed}");
}

fn bash(script: &str) -> (i32, String, String) {
    let place = Place::new();
    let mut command = place.other_command(&["bash", "-c", script], &KEY);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command)
}

#[test]
fn fault_101_a_reload_with_something_else_than_a_file_leaves_the_old_one() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    certificate(&place);
    key_file(&place, "credentials.csv", SECRET);
    for name in ["token", "app_code", "api_key"] {
        place.file(name, "WORD");
    }
    place.file("caller_token", CALLER_TOKEN);
    let mut text = "listen = ['127.0.0.1:0', 'https://127.0.0.1:0']\naccess.token_file = 'caller_token'\n\
        upstream_tls.ca_file = 'ca.pem'\n[tls]\ncert_file = 'cert.pem'\nkey_file = 'key.pem'\nclient_ca_file = 'cert.pem'\n\
        [credentials]\nfile = 'credentials.csv'\ntoken_file = 'token'\napp_code_file = 'app_code'\napi_key_file = 'api_key'\n"
        .to_owned();
    for auth in ["aksk", "token", "app-code", "api-key"] {
        text += &format!(
            "[[route]]\npath = '/{auth}'\nupstream = 'https://{gateway}/v1'\nauth = '{auth}'\n"
        );
    }
    place.file("c.toml", &text);
    let mut program = Running::start(place.command(&["--config", "c.toml"], &[]));
    let _limit = kill_after(Duration::from_secs(60), program.id());
    let address = program.address();
    let get = format!(
        "GET /aksk/x HTTP/1.1\r\nHost: localhost\r\nX-Apig-Proxy-Token: {CALLER_TOKEN}\r\n\r\n"
    );
    let names =
        "c.toml credentials.csv token app_code api_key caller_token cert.pem key.pem ca.pem";
    for name in names.split(' ') {
        let (path, kept) = (place.path().join(name), place.path().join("kept"));
        fs::rename(&path, &kept).unwrap();
        for (kind, expected) in KINDS {
            put(&path, kind);
            signal(program.id(), "HUP");
            let line = program.line_with("not reloaded, the proxy goes on as it is");
            if !line.contains(expected) {
                program.line_with(expected);
            }
            assert_status(&exchange(address, &get), 200);
        }
        remove(&path);
        fs::rename(&kept, &path).unwrap();
    }
    hang_up(&mut program);
    let said = program.stops();
    assert!(!said.contains(SECRET), "{said}");
}
