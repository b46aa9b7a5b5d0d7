//! Files and variables as people have them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::config::{Auth, CredentialsConfig, Environment};

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

/// The key that is found without asking a service, or the error.
fn auto(environment: &[(&str, &str)], file: &str) -> Result<Lease, String> {
    let config = CredentialsConfig {
        file: file.into(),
        ..CredentialsConfig::default()
    };
    let environment = Environment::from_pairs(environment.iter().copied());
    let source = Source::open(Auth::default(), &config, &environment);
    let source = source.map_err(|error| error.to_string())?;
    Ok(Lease::clone(&source.slot.current().unwrap()))
}

#[test]
fn fault_64_key_files_are_read_however_they_were_saved() {
    let texts = [
        format!("{HEAD}\n\"me\",{AK},{SK}"),
        format!("\u{feff}{HEAD}\r\n\"me\",{AK},{SK}\r\n\r\n"),
        format!("{HEAD}\n\nme, {AK} , {SK}\t\n"),
        format!("\"User Name\",\"Access Key Id\",\"Secret Access Key\"\n\"a,b\",{AK},{SK}\n"),
        format!("secret access key,ACCESS KEY ID\n{SK},{AK}\n"),
        format!("AccessKeyId,SecretAccessKey,Extra\n{AK},{SK}\n"),
        // Spreadsheets have other separators.
        format!("User Name;Access Key Id;Secret Access Key\nme;{AK};{SK}\n"),
        format!("User Name\tAccess Key Id\tSecret Access Key\nme\t{AK}\t{SK}\n"),
        format!("sep=;\r\nAccess Key Id;Secret Access Key\r\n{AK};{SK}\r\n"),
        format!("sep=,\n{HEAD}\na;b;c;d,{AK},{SK}\n"),
        format!("; comment\n[global]\nak={AK}\nsk={SK}\ndomain_id=d\n"),
        format!("[app]\napp_key: {AK}\napp_secret: {SK}\n"),
        // KooCLI's file, if its keys are not encrypted.
        format!(
            r#"{{"current":"b","profiles":[{{"name":"a","accessKeyId":"x"}},{{"name":"b","accessKeyId":"{AK}","secretAccessKey":"{SK}"}}]}}"#
        ),
    ];
    let gbk = [HEAD, "\n\u{0}\u{0},", AK, ",", SK].concat().into_bytes();
    let gbk: Vec<u8> = gbk
        .into_iter()
        .map(|byte| if byte == 0 { 0xd5 } else { byte })
        .collect();
    let contents = texts.iter().map(|text| text.as_bytes()).chain([&*gbk]);
    for content in contents {
        let shown = String::from_utf8_lossy(content);
        let lease = parse(content, Path::new("the-file"), None);
        let lease = lease.unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(parts(&lease), [AK, SK, ""], "{shown}");
    }
    // Of several rows the first is taken unless a user is named.
    let rows = format!("{HEAD}\none,AK1,SK1\ntwo,{AK},{SK}\n");
    assert_eq!(parts(&from_file(&rows, None).unwrap()), ["AK1", "SK1", ""]);
    assert_eq!(parts(&from_file(&rows, Some("two")).unwrap()), [AK, SK, ""]);
    // A value of a profile may hold any character.
    let secret = r##"a\n"b'#;=%x"##;
    let profile = format!(
        "[basic]\r\nak = {AK}\r\nsk = {secret}\r\nsecurity_token=tok=\r\nproject_id = p1\n[global]\nak = x\nsk = y\n"
    );
    let profile = from_file(&profile, None).unwrap();
    assert_eq!(parts(&profile), [AK, secret, "tok="]);
    assert_eq!(profile.project_id.unwrap(), "p1");
}

#[test]
fn fault_64_broken_files_are_told_apart_and_never_quoted() {
    let encrypted =
        format!(r#"{{"profiles":[{{"accessKeyId":"{SK}==","secretAccessKey":"{SK}"}}]}}"#);
    for (content, expected) in [
        (format!("{AK},{SK}\n"), "no columns"),
        (format!("{HEAD}\n"), "no key below"),
        (" \n".to_owned(), "no key below"),
        (format!("{HEAD}\nme,{AK},\n"), "empty part"),
        (format!("{HEAD}\nme,LTAI0000MARKER,{SK}\n"), "another cloud"),
        (
            format!("name,api_key\nMARKER,{SK}\n"),
            "API key of ModelArts",
        ),
        ("U\0s\0e\0r\0".to_owned(), "UTF-16"),
        (format!("[basic]\nak = {AK}\n"), "no ak and sk"),
        (
            format!("[basic]\nak = \"{AK}\"\nsk = \"{SK}\"\n"),
            "quotes around",
        ),
        (format!("[basic]\n{SK}\n"), "not a profile"),
        (format!("{{\"MARKER\": \"{SK}\""), "not KooCLI's"),
        (encrypted, "encrypted"),
        ("PK\x03\x04\x14".to_owned(), "workbook"),
    ] {
        let error = from_file(&content, None).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(expected) && !shown.contains("MARKER"),
            "{shown}"
        );
    }
    let no_user = from_file(&format!("{HEAD}\nme,{AK},{SK}\n"), Some("you")).unwrap_err();
    assert!(
        no_user.to_string().contains("credentials.user"),
        "{no_user}"
    );
    for (content, expected) in [
        (&b"[basic]\nak = \xff"[..], "not UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1", "workbook"),
    ] {
        let error = parse(content, Path::new("the-file"), None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn variables_win_over_files_and_the_sdk_s_names_over_terraform_s() {
    let folder = folder(&[("c.csv", "Access Key Id,Secret Access Key\nAK1,SK1\n")]);
    let file = folder.path().join("c.csv");
    let variables = [
        ("HUAWEICLOUD_SDK_AK", " AK4\n"),
        ("HUAWEICLOUD_SDK_SK", "0123"),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "t"),
        ("HW_ACCESS_KEY", "AK2"),
        ("HW_SECRET_KEY", "SK2"),
        ("OS_ACCESS_KEY", "AK3"),
        ("OS_SECRET_KEY", "SK3"),
        ("CLOUD_SDK_AK", "AK5"),
        ("CLOUD_SDK_SK", "SK5"),
    ];
    for (from, expected) in [
        (0, ["AK4", "0123", "t"]),
        (3, ["AK2", "SK2", ""]),
        (5, ["AK3", "SK3", ""]),
        (7, ["AK5", "SK5", ""]),
        (9, ["AK1", "SK1", ""]),
    ] {
        let lease = auto(&variables[from..], file.to_str().unwrap());
        assert_eq!(parts(&lease.unwrap()), expected);
    }
    let error = auto(&[("HW_SECRET_KEY", "MARKER")], "none").unwrap_err();
    assert!(error.starts_with("HW_SECRET_KEY is set, but HW_ACCESS_KEY is not\nhint: "));
}

#[test]
fn systemd_may_hold_the_parts_of_a_key() {
    let folder = folder(&[("access_key", AK), ("secret_key", SK)]);
    let directory = folder.path().to_str().unwrap();
    let lease = auto(&[("CREDENTIALS_DIRECTORY", directory)], "none");
    assert_eq!(parts(&lease.unwrap()), [AK, SK, ""]);
}
