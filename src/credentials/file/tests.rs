//! Text secrets in files, and changes of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn loaded(format: Format, content: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    put(&path, content);
    match (Files { path, format })
        .load()
        .map_err(|error| error.to_string())?
        .secret
    {
        Secret::Text(text) => Ok(text.expose_secret().to_owned()),
        other @ Secret::Key(_) => panic!("{other:?}"),
    }
}

#[test]
fn text_and_api_keys_are_read_however_they_were_saved() {
    for content in ["TOKEN==", " TOKEN==\r\n\n", "\u{feff}TOKEN==\t"] {
        for format in [Format::Text, Format::ApiKey] {
            assert_eq!(loaded(format, content.as_bytes()).unwrap(), "TOKEN==");
        }
    }
    for content in [
        "\u{feff}name,api_key\r\n\"a,b\",\"KEY\"\r\n",
        "API_KEY\nKEY",
        "id, Api_Key ,created\n\n1, KEY ,2026-11-24\n",
    ] {
        let found = loaded(Format::ApiKey, content.as_bytes());
        assert_eq!(found.unwrap(), "KEY", "{content}");
    }
}

#[test]
fn text_that_no_header_can_carry_is_refused_and_not_quoted() {
    for content in [
        &b" \n"[..],
        b"MARKER words",
        b"MARKER\x07",
        b"MARKER\xff",
        b"name,api_key\nMARKER,\n",
        b"name,secret\nMARKER,MARKER\n",
    ] {
        for format in [Format::Text, Format::ApiKey] {
            let error = loaded(format, content).unwrap_err();
            assert!(
                !error.contains("MARKER") && error.contains("secret"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_file_that_is_copied_with_its_old_time_and_length_has_another_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    put(&path, b"one");
    let format = Format::Text;
    let files = Files { path, format };
    let before = files.stamps();
    let time = fs::metadata(&files.path).unwrap().modified().unwrap();
    put(&files.path, b"two");
    let file = fs::File::options().write(true).open(&files.path).unwrap();
    file.set_modified(time).unwrap();
    assert_ne!(files.stamps(), before);
}
