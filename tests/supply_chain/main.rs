//! What the program is built from: the rules of `.deny.toml`, checked without cargo-deny.
//!
//! Licences and bans are looked up for what this machine builds, and so without a network; cargo-deny
//! looks at all systems.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod licence;

use std::path::Path;
use std::process::Command;

use toml::{Table, Value};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn table(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The packages of the lock file.
fn locked() -> Vec<Value> {
    table("Cargo.lock")["package"].as_array().unwrap().clone()
}

/// Names and licences of all packages that this machine builds, those of tests too.
fn built() -> Vec<(String, String)> {
    let arguments = ["tree", "--locked", "--edges=all", "--prefix=none"];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Lines on features have no version.
    let packages = text.lines().filter_map(|line| line.split_once(" v"));
    packages
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once('\t')?.1)))
        .map(|(name, licence)| (name, licence.trim_end_matches(" (*)").to_owned()))
        .collect()
}

/// What is denied: names, each with the lowest version that is not, if there is one.
fn denied() -> Vec<(String, Option<String>)> {
    let rules = table(".deny.toml")["bans"]["deny"].clone();
    let rules = rules.as_array().unwrap().iter();
    rules
        .map(|rule| {
            assert!(!rule["reason"].as_str().unwrap().is_empty());
            let spec = rule["crate"].as_str().unwrap();
            let split = spec.split_once(":<");
            split.map_or_else(
                || (spec.to_owned(), None),
                |(name, lowest)| (name.to_owned(), Some(lowest.to_owned())),
            )
        })
        .collect()
}

/// The three numbers of a version.
fn version(text: &str) -> [u64; 3] {
    let numbers = text.split(['-', '+']).next().unwrap().split('.');
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn every_package_comes_from_crates_io_and_has_a_checksum() {
    let packages = locked();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    for package in packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("name") == env!("CARGO_PKG_NAME") {
            continue;
        }
        assert_eq!(text("source"), CRATES_IO, "{package}");
        let checksum = text("checksum");
        let is_hash = checksum.len() == 64 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash, "{package}");
    }
}

#[test]
fn no_version_is_below_the_lowest_that_is_allowed() {
    let lowest: Vec<(String, String)> = denied()
        .into_iter()
        .filter_map(|(name, lowest)| Some((name, lowest?)))
        .collect();
    assert!(lowest.len() >= 5, "only {lowest:?}");
    for package in locked() {
        let name = package["name"].as_str().unwrap();
        let locked = package["version"].as_str().unwrap();
        for (_, lowest) in lowest.iter().filter(|(denied, _)| denied == name) {
            assert!(
                version(locked) >= version(lowest),
                "{name} {locked} is below {lowest}"
            );
        }
    }
}

#[test]
fn the_lock_file_is_up_to_date_and_nothing_that_is_banned_is_built() {
    let built = built();
    assert!(built.len() > 100, "only {} packages", built.len());
    let banned = denied().into_iter().filter(|(_, lowest)| lowest.is_none());
    let banned: Vec<String> = banned.map(|(name, _)| name).collect();
    assert!(banned.len() >= 4, "only {banned:?}");
    for (name, _) in built {
        assert!(!banned.contains(&name), "{name} is banned");
    }
}

#[test]
fn every_licence_is_one_of_those_that_are_allowed() {
    let rules = table(".deny.toml")["licenses"].clone();
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    let exceptions = rules["exceptions"].as_array().unwrap();
    for (name, licence) in built() {
        let mut allowed = texts(&rules["allow"]);
        let own = exceptions
            .iter()
            .filter(|rule| rule["crate"].as_str() == Some(&name));
        allowed.extend(own.flat_map(|rule| texts(&rule["allow"])));
        let is_allowed =
            licence::is_satisfied(&licence, &|id| allowed.iter().any(|known| known == id));
        assert!(is_allowed, "{name}: {licence:?}");
    }
}
