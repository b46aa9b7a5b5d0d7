//! Files and variables as people have them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::config::CredentialsConfig;

const AK: &str = "AKTEST0000000000TEST";
const SK: &str = "MARKERskMARKERskMARKERskMARKERskMARKERsk";

/// A folder with files that only the owner can read.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

fn from_file(content: &[u8], user: Option<&str>) -> Result<Found, CredentialsError> {
    let folder = folder(&[("key", content)]);
    load_file(&folder.path().join("key"), user)
}

fn pair(found: Result<Found, CredentialsError>) -> (String, String) {
    let credentials = found.unwrap_or_else(|error| panic!("{error}")).credentials;
    (
        credentials.access_key,
        credentials.secret_key.expose_secret().to_owned(),
    )
}

fn own() -> (String, String) {
    (AK.to_owned(), SK.to_owned())
}

/// What is found without asking anybody.
fn auto(environment: &[(&str, &str)], file: &Path) -> Result<Found, CredentialsError> {
    let config = CredentialsConfig {
        file: file.to_owned(),
        ..CredentialsConfig::default()
    };
    let need = Need {
        set: 0,
        kind: Kind::Key,
    };
    let environment = Environment::from_pairs(environment.iter().copied());
    let supply = Supply::open(need, &config, &environment)?;
    let issued = supply.feed().current();
    let issued = issued.ok_or_else(|| CredentialsError::NothingFound {
        passed_over: supply.passed_over.clone(),
        hcloud: hcloud_file(&environment),
    })?;
    let Secret::Key(credentials) = issued.secret.clone() else {
        panic!("it is no key");
    };
    Ok(Found {
        credentials,
        project_id: issued.project_id.clone(),
        origin: issued.origin.clone(),
    })
}

#[test]
fn fault_64_credentials_csv_is_read_however_it_was_saved() {
    let head = "User Name,Access Key Id,Secret Access Key";
    for text in [
        format!("{head}\n\"me\",{AK},{SK}"),
        format!("\u{feff}{head}\r\n\"me\",{AK},{SK}\r\n\r\n"),
        format!("{head}\n\nme, {AK} , {SK}\t\n"),
        format!(
            "\"User Name\",\"Access Key Id\",\"Secret Access Key\"\n\"a,b\",\"{AK}\",\"{SK}\"\n"
        ),
        format!("secret access key,ACCESS KEY ID\n{SK},{AK}\n"),
        format!("AccessKeyId,SecretAccessKey,Extra\n{AK},{SK}\n"),
    ] {
        assert_eq!(pair(from_file(text.as_bytes(), None)), own(), "{text}");
    }
}

#[test]
fn of_several_rows_the_first_is_taken_unless_a_user_is_chosen() {
    let text = format!("User Name,Access Key Id,Secret Access Key\none,AK1,SK1\ntwo,{AK},{SK}\n");
    assert_eq!(pair(from_file(text.as_bytes(), None)).0, "AK1");
    assert_eq!(pair(from_file(text.as_bytes(), Some("two"))), own());
    assert!(matches!(
        from_file(text.as_bytes(), Some("three")),
        Err(CredentialsError::NoSuchUser(_))
    ));
}

#[test]
fn fault_64_broken_files_are_told_apart_and_never_quoted() {
    let head = "User Name,Access Key Id,Secret Access Key";
    let utf16: Vec<u8> = format!("\u{feff}{head}\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: [(Vec<u8>, &str); 13] = [
        (format!("{AK},{SK}\n").into(), "no columns"),
        (format!("{head}\n").into(), "no key below"),
        (format!("{head}\nme,{AK},\n").into(), "empty or has blanks"),
        (
            format!("{head}\nme,{AK},MARKER x\n").into(),
            "empty or has blanks",
        ),
        (
            format!("{head}\nme,AKIA0000000000000000,{SK}\n").into(),
            "another cloud",
        ),
        (
            format!("{head}\nme,LTAI0000MARKER,{SK}\n").into(),
            "another cloud",
        ),
        (
            format!("name,api_key\nMARKER,{SK}\n").into(),
            "API key of ModelArts",
        ),
        (utf16, "UTF-16"),
        (b"User Name,Access Key Id\xff".to_vec(), "not UTF-8"),
        (format!("[basic]\nak = {AK}\n").into(), "no ak and sk"),
        (format!("{{\"MARKER\": \"{SK}\"").into(), "not KooCLI's"),
        (
            format!(
                "{{\"profiles\":[{{\"accessKeyId\":\"{SK}==\",\"secretAccessKey\":\"{SK}\"}}]}}"
            )
            .into(),
            "encrypted",
        ),
        (b" \n".to_vec(), "no key below"),
    ];
    for (content, expected) in cases {
        let error = from_file(&content, None).unwrap_err();
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        assert!(shown.contains(expected), "{shown}");
        assert!(
            !shown.contains("MARKER") && !debugged.contains("MARKER"),
            "{shown} {debugged}"
        );
    }
}

#[test]
fn a_profile_is_read_with_any_character_in_its_values() {
    let secret = r##"a\n"b'#;=%x"##;
    let text = format!(
        "[basic]\r\nak = {AK}\r\nsk = {secret}\r\nsecurity_token=tok=\r\nproject_id = p1\r\n[global]\nak = x\nsk = y\n"
    );
    let found = from_file(text.as_bytes(), None).unwrap();
    assert_eq!(found.project_id.as_ref().unwrap(), "p1");
    assert_eq!(
        found
            .credentials
            .security_token
            .as_ref()
            .unwrap()
            .expose_secret(),
        "tok="
    );
    assert_eq!(pair(Ok(found)), (AK.to_owned(), secret.to_owned()));
    let global = format!("; comment\n[global]\nak={AK}\nsk={SK}\ndomain_id=d\n");
    assert_eq!(pair(from_file(global.as_bytes(), None)), own());
}

#[test]
fn koocli_s_file_is_read_if_its_keys_are_not_encrypted() {
    let text = format!(
        r#"{{"current":"b","profiles":[{{"name":"a","accessKeyId":"x"}},{{"name":"b","mode":"AKSK","accessKeyId":"{AK}","secretAccessKey":"{SK}"}}]}}"#
    );
    assert_eq!(pair(from_file(text.as_bytes(), None)), own());
}

#[test]
fn variables_win_over_files_and_the_sdk_s_names_over_terraform_s() {
    let folder = folder(&[(
        "credentials.csv",
        b"Access Key Id,Secret Access Key\nAK1,SK1\n",
    )]);
    let file = folder.path().join("credentials.csv");
    assert_eq!(pair(auto(&[], &file)).0, "AK1");
    let terraform = [
        ("HW_ACCESS_KEY", "AK2"),
        ("HW_SECRET_KEY", "SK2"),
        ("OS_ACCESS_KEY", "AK3"),
        ("OS_SECRET_KEY", "SK3"),
    ];
    assert_eq!(pair(auto(&terraform, &file)).0, "AK2");
    assert_eq!(pair(auto(&terraform[2..], &file)).0, "AK3");
    let sdk = [
        ("HUAWEICLOUD_SDK_AK", " AK4\n"),
        ("HUAWEICLOUD_SDK_SK", "\"ab\""),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "t"),
    ];
    let all = [&sdk[..], &terraform].concat();
    let found = auto(&all, &file).unwrap();
    assert_eq!(
        found.origin.to_string(),
        "the environment (HUAWEICLOUD_SDK_AK)"
    );
    assert_eq!(
        found
            .credentials
            .security_token
            .as_ref()
            .unwrap()
            .expose_secret(),
        "t"
    );
    assert_eq!(pair(Ok(found)), ("AK4".to_owned(), "\"ab\"".to_owned()));
}

#[test]
fn half_a_key_in_the_environment_is_an_error() {
    let error = auto(&[("HUAWEICLOUD_SDK_AK", "MARKER")], Path::new("none"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "HUAWEICLOUD_SDK_AK is set, but HUAWEICLOUD_SDK_SK is not; set both, or neither"
    );
    assert!(auto(&[("HW_SECRET_KEY", "MARKER")], Path::new("none")).is_err());
}

#[test]
fn systemd_s_credentials_are_read_whole_or_in_parts() {
    let csv = format!("Access Key Id,Secret Access Key\n{AK},{SK}\n");
    let whole = folder(&[("credentials.csv", csv.as_bytes())]);
    let directory = whole.path().to_str().unwrap();
    assert_eq!(
        pair(auto(
            &[("CREDENTIALS_DIRECTORY", directory)],
            Path::new("none")
        )),
        own()
    );
    let parts = folder(&[
        ("access_key", AK.as_bytes()),
        ("secret_key", format!("{SK}\n").as_bytes()),
    ]);
    let directory = parts.path().to_str().unwrap();
    assert_eq!(
        pair(auto(
            &[("CREDENTIALS_DIRECTORY", directory)],
            Path::new("none")
        )),
        own()
    );
}

#[test]
fn the_profile_comes_last_and_nothing_at_all_says_what_to_do() {
    let csv = "{\"profiles\":[]}".as_bytes();
    let profile = format!("[basic]\nak={AK}\nsk={SK}\n");
    let home = folder(&[
        (".huaweicloud/credentials", profile.as_bytes()),
        (".hcloud/config.json", csv),
    ]);
    let variable = [("HOME", home.path().to_str().unwrap())];
    assert_eq!(pair(auto(&variable, Path::new("none"))), own());
    fs::remove_file(home.path().join(".huaweicloud/credentials")).unwrap();
    let error = auto(&variable, Path::new("none.csv"))
        .unwrap_err()
        .to_string();
    for expected in [
        "HUAWEICLOUD_SDK_AK",
        "none.csv",
        "--credentials",
        ".hcloud/config.json",
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
