//! The inspector's page: what it is made of, and how large it is.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Bytes of all files that the program serves.
const LIMIT: u64 = 64 * 1024;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect/page")
}

/// The names of the files in a folder with one of these endings.
fn files(folder: &Path, endings: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
        .collect();
    names.sort();
    names
}

#[test]
fn each_library_of_the_page_is_the_documented_one() {
    let vendor = page().join("vendor");
    let readme = fs::read_to_string(vendor.join("README.md")).unwrap();
    let libraries = files(&vendor, &[".mjs"]);
    assert_eq!(libraries, ["htm.mjs", "preact.mjs"]);
    for name in libraries {
        let start = format!("| `{name}`");
        let row = readme
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap();
        let hash = hex::encode(Sha256::digest(fs::read(vendor.join(&name)).unwrap()));
        assert!(row.contains(&hash), "{name} has the checksum {hash}");
        let licence = vendor.join(name.replace(".mjs", ".LICENSE"));
        assert!(!fs::read_to_string(licence).unwrap().is_empty());
    }
}

#[test]
fn the_page_is_small() {
    let mut sum = 0;
    for (folder, endings) in [
        (page(), [".html", ".css", ".js"].as_slice()),
        (page().join("vendor"), &[".mjs"]),
    ] {
        let names = files(&folder, endings).into_iter();
        let sizes = names.map(|name| fs::metadata(folder.join(name)).unwrap().len());
        sum += sizes.sum::<u64>();
    }
    assert!(sum <= LIMIT, "{sum} bytes");
}
