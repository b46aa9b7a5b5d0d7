//! Text secrets in files, and changes of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn loaded(format: Format, content: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    put(&path, content);
    match Files::new(path, format)
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
        b"MARKER\nMARKER",
        b"MARKER\x07",
        "MARKER\u{e9}".as_bytes(),
        b"MARKER\xff",
        b"name,api_key\nMARKER,\n",
        b"name,secret\nMARKER,MARKER\n",
        b"M\0A\0R\0K\0E\0R\0",
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
fn every_way_to_replace_a_file_changes_its_state() {
    type Change = fn(&Path, &Path);
    let changes: [(&str, Change); 5] = [
        ("renamed", |new, path| fs::rename(new, path).unwrap()),
        ("written over", |_, path| put(path, b"longer")),
        ("removed", |_, path| fs::remove_file(path).unwrap()),
        ("linked", |new, path| {
            fs::remove_file(path).unwrap();
            symlink(new, path).unwrap();
        }),
        // With its old time and length, as rsync and tar do it.
        ("copied", |_, path| {
            let time = fs::metadata(path).unwrap().modified().unwrap();
            put(path, b"two");
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        }),
    ];
    for (name, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let [path, new] = ["key", "new"].map(|name| folder.path().join(name));
        put(&path, b"one");
        put(&new, b"two");
        let files = Files::new(path.clone(), Format::Text);
        let before = files.stamps();
        assert_eq!(files.stamps(), before);
        change(&new, &path);
        assert_ne!(files.stamps(), before, "{name}");
    }
}
