//! Files and variables as people have them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::config::{CredentialsConfig, Environment};

const AK: &str = "AKTEST0000000000TEST";
const SK: &str = "MARKERskMARKERskMARKERskMARKERskMARKERsk";
const HEAD: &str = "User Name,Access Key Id,Secret Access Key";

/// A folder with files that only the owner can read.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

fn from_file(content: &str, user: Option<&str>) -> Result<Lease, CredentialsError> {
    parse(content.as_bytes(), Path::new("the-file"), user)
}

/// Access key, secret key and security token.
fn parts(lease: &Lease) -> [String; 3] {
    let Secret::Key(key) = &lease.secret else {
        panic!("it is no key");
    };
    let token = key.security_token.as_ref().map(ExposeSecret::expose_secret);
    let parts = [
        &key.access_key,
        key.secret_key.expose_secret(),
        token.unwrap_or(""),
    ];
    parts.map(str::to_owned)
}

/// The key that is found without asking a service; else the error of a start that finds no service
/// either.
fn auto(environment: &[(&str, &str)], file: &str) -> Result<Lease, String> {
    let config = CredentialsConfig {
        file: file.into(),
        ..CredentialsConfig::default()
    };
    let (set, kind) = (0, Kind::Key);
    let environment = Environment::from_pairs(environment.iter().copied());
    let source = Source::open(Requirement { set, kind }, &config, &environment)
        .map_err(|error| error.to_string())?;
    let current = source.slot.current();
    let lease = current.ok_or_else(|| {
        let passed_over = source.passed_over.clone();
        let hcloud = file::hcloud_path(&environment);
        CredentialsError::NothingFound {
            passed_over,
            hcloud,
        }
        .to_string()
    })?;
    Ok(Lease::clone(&lease))
}

#[test]
fn fault_64_key_files_are_read_however_they_were_saved() {
    let own = [AK, SK, ""];
    let secret = r##"a\n"b'#;=%x"##;
    for (text, user, expected) in [
        (format!("{HEAD}\n\"me\",{AK},{SK}"), None, own),
        (
            format!("\u{feff}{HEAD}\r\n\"me\",{AK},{SK}\r\n\r\n"),
            None,
            own,
        ),
        (format!("{HEAD}\n\nme, {AK} , {SK}\t\n"), None, own),
        (
            format!("\"User Name\",\"Access Key Id\",\"Secret Access Key\"\n\"a,b\",{AK},{SK}\n"),
            None,
            own,
        ),
        (
            format!("secret access key,ACCESS KEY ID\n{SK},{AK}\n"),
            None,
            own,
        ),
        (
            format!("AccessKeyId,SecretAccessKey,Extra\n{AK},{SK}\n"),
            None,
            own,
        ),
        // Of several rows the first is taken unless a user is named.
        (
            format!("{HEAD}\none,AK1,SK1\ntwo,{AK},{SK}\n"),
            None,
            ["AK1", "SK1", ""],
        ),
        (
            format!("{HEAD}\none,AK1,SK1\ntwo,{AK},{SK}\n"),
            Some("two"),
            own,
        ),
        // A value of a profile may hold any character.
        (
            format!(
                "[basic]\r\nak = {AK}\r\nsk = {secret}\r\nsecurity_token=tok=\r\n[global]\nak = x\nsk = y\n"
            ),
            None,
            [AK, secret, "tok="],
        ),
        (
            format!("; comment\n[global]\nak={AK}\nsk={SK}\ndomain_id=d\n"),
            None,
            own,
        ),
        (
            format!("[app]\napp_key: {AK}\napp_secret: {SK}\n"),
            None,
            own,
        ),
        // KooCLI's file, if its keys are not encrypted.
        (
            format!(
                r#"{{"current":"b","profiles":[{{"name":"a","accessKeyId":"x"}},{{"name":"b","mode":"AKSK","accessKeyId":"{AK}","secretAccessKey":"{SK}"}}]}}"#
            ),
            None,
            own,
        ),
    ] {
        let lease = from_file(&text, user).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(parts(&lease), expected, "{text}");
    }
    let profile = from_file("[basic]\nak=a\nsk=s\nproject_id = p1\n", None).unwrap();
    assert_eq!(profile.project_id.unwrap(), "p1");
}

#[test]
fn fault_64_broken_files_are_told_apart_and_never_quoted() {
    for (content, expected) in [
        (format!("{AK},{SK}\n"), "no columns"),
        (format!("{HEAD}\n"), "no key below"),
        (" \n".to_owned(), "no key below"),
        (format!("{HEAD}\nme,{AK},\n"), "empty or has blanks"),
        (format!("{HEAD}\nme,{AK},MARKER x\n"), "empty or has blanks"),
        (format!("{HEAD}\nme,AK\u{e9},{SK}\n"), "no access key has"),
        (
            format!("{HEAD}\nme,AKIA0000000000000000,{SK}\n"),
            "another cloud",
        ),
        (format!("{HEAD}\nme,LTAI0000MARKER,{SK}\n"), "another cloud"),
        (
            format!("name,api_key\nMARKER,{SK}\n"),
            "API key of ModelArts",
        ),
        ("U\0s\0e\0r\0".to_owned(), "UTF-16"),
        (format!("[basic]\nak = {AK}\n"), "no ak and sk"),
        (format!("[basic]\n{SK}\n"), "not a profile"),
        (format!("{{\"MARKER\": \"{SK}\""), "not KooCLI's"),
        (
            format!(
                "{{\"profiles\":[{{\"accessKeyId\":\"{SK}==\",\"secretAccessKey\":\"{SK}\"}}]}}"
            ),
            "encrypted",
        ),
    ] {
        let error = from_file(&content, None).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("MARKER"), "{shown}");
    }
    let no_user = from_file(&format!("{HEAD}\nme,{AK},{SK}\n"), Some("you")).unwrap_err();
    assert!(
        no_user.to_string().contains("credentials.user"),
        "{no_user}"
    );
    let not_utf8 = parse(b"User Name,\xff", Path::new("the-file"), None).unwrap_err();
    assert!(not_utf8.to_string().contains("not UTF-8"), "{not_utf8}");
}

#[test]
fn variables_win_over_files_and_the_sdk_s_names_over_terraform_s() {
    let folder = folder(&[("c.csv", "Access Key Id,Secret Access Key\nAK1,SK1\n")]);
    let file = folder.path().join("c.csv");
    let variables = [
        ("HUAWEICLOUD_SDK_AK", " AK4\n"),
        ("HUAWEICLOUD_SDK_SK", "\"ab\""),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "t"),
        ("HW_ACCESS_KEY", "AK2"),
        ("HW_SECRET_KEY", "SK2"),
        ("OS_ACCESS_KEY", "AK3"),
        ("OS_SECRET_KEY", "SK3"),
    ];
    for (from, expected) in [
        (0, ["AK4", "\"ab\"", "t"]),
        (3, ["AK2", "SK2", ""]),
        (5, ["AK3", "SK3", ""]),
        (7, ["AK1", "SK1", ""]),
    ] {
        let lease = auto(&variables[from..], file.to_str().unwrap());
        assert_eq!(parts(&lease.unwrap()), expected);
    }
    let error = auto(&[("HUAWEICLOUD_SDK_AK", "MARKER")], "none");
    let expected = "HUAWEICLOUD_SDK_AK is set, but HUAWEICLOUD_SDK_SK is not; set both, or neither";
    assert_eq!(error.unwrap_err(), expected);
    assert!(auto(&[("HW_SECRET_KEY", "MARKER")], "none").is_err());
}

#[test]
fn systemd_may_hold_the_parts_of_a_key() {
    let folder = folder(&[("access_key", AK), ("secret_key", SK)]);
    let directory = folder.path().to_str().unwrap();
    let lease = auto(&[("CREDENTIALS_DIRECTORY", directory)], "none");
    assert_eq!(parts(&lease.unwrap()), [AK, SK, ""]);
}

#[test]
fn koocli_s_file_is_pointed_out_if_there_is_no_key() {
    let home = folder(&[(".hcloud/config.json", "{}")]);
    let error = auto(&[("HOME", home.path().to_str().unwrap())], "none").unwrap_err();
    assert!(error.contains(".hcloud/config.json is there"), "{error}");
}
