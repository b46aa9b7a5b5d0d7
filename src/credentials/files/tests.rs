//! Files as people and tools write them.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn loaded(files: fn(PathBuf) -> Files, content: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    put(&path, content);
    match files(path).load().map_err(|error| error.to_string())? {
        Some(Issued {
            secret: Secret::Text(text),
            ..
        }) => Ok(text.expose_secret().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_text_of_a_file_is_taken_without_what_is_around_it() {
    for content in [
        "TOKEN==",
        "TOKEN==\n",
        " TOKEN==\r\n\n",
        "\u{feff}TOKEN==\t",
    ] {
        for files in [Files::text, Files::api_key] {
            assert_eq!(loaded(files, content.as_bytes()).unwrap(), "TOKEN==");
        }
    }
}

#[test]
fn an_api_key_is_found_in_the_console_s_csv_however_it_was_saved() {
    for content in [
        "name,api_key\nme,KEY\n",
        "\u{feff}name,api_key\r\n\"a,b\",\"KEY\"\r\n",
        "API_KEY\nKEY",
        "id, Api_Key ,created\n\n1, KEY ,2026-11-24\n",
    ] {
        let found = loaded(Files::api_key, content.as_bytes());
        assert_eq!(found.unwrap(), "KEY", "{content}");
    }
}

#[test]
fn what_no_header_can_carry_is_refused_and_not_quoted() {
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
        for files in [Files::text, Files::api_key] {
            let error = loaded(files, content).unwrap_err();
            assert!(!error.contains("MARKER"), "{error}");
            assert!(error.contains("secret"), "{error}");
        }
    }
}

/// How a file looks before and after something was done to it.
fn looks(change: impl FnOnce(&TempDir, &Path)) -> (Stamp, Stamp) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    put(&path, b"one");
    let files = Files::text(path.clone());
    let before = files.stamp();
    assert_eq!(files.stamp(), before);
    change(&folder, &path);
    (before, files.stamp())
}

#[test]
fn every_way_to_replace_a_file_changes_how_it_looks() {
    let (before, after) = looks(|folder, path| {
        put(&folder.path().join("new"), b"two");
        fs::rename(folder.path().join("new"), path).unwrap();
    });
    assert_ne!(before, after, "renamed");
    let (before, after) = looks(|_, path| put(path, b"longer"));
    assert_ne!(before, after, "written over");
    let (before, after) = looks(|_, path| fs::remove_file(path).unwrap());
    assert!(before != after && after == [None], "removed");
    let (before, after) = looks(|folder, path| {
        put(&folder.path().join("new"), b"two");
        fs::remove_file(path).unwrap();
        symlink("new", path).unwrap();
    });
    assert_ne!(before, after, "linked");
    let (before, after) = looks(|_, path| {
        // Copied with its old time and of the same length, as rsync and tar do it.
        let time = fs::metadata(path).unwrap().modified().unwrap();
        put(path, b"two");
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    });
    assert_ne!(before, after, "written over with its old time");
}
