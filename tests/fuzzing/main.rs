//! The fuzz targets of `tests/fuzz` without a fuzzer: each runs on every file of its corpus, then on
//! random changes of those.
//!
//! `FUZZ_SEED` and `FUZZ_RUNS` give another sequence and another length. An input that fails is written
//! to `tests/fuzz/artifacts`; once the fault is mended, it belongs into the corpus.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../fuzz/targets/configuration.rs"]
mod configuration;
#[path = "../fuzz/targets/credentials.rs"]
mod credentials;
#[path = "../fuzz/targets/gateway_error.rs"]
mod gateway_error;
#[path = "../fuzz/targets/head_rewriting.rs"]
mod head_rewriting;
mod mutations;
mod smoke;
#[path = "../fuzz/targets/target.rs"]
mod target;

use smoke::{RUNS, smoke};

#[test]
fn a_signed_target_verifies_however_it_is_read() {
    smoke("target", target::target, RUNS);
}

#[test]
fn no_header_of_the_proxy_s_own_passes_in_any_spelling() {
    smoke("head_rewriting", head_rewriting::target, RUNS);
}

#[test]
fn credentials_are_read_or_refused_and_never_quoted() {
    smoke("credentials", credentials::target, RUNS);
}

#[test]
fn every_refusal_of_the_gateway_is_explained_in_a_header_value() {
    smoke("gateway_error", gateway_error::target, RUNS);
}

#[test]
fn a_configuration_is_taken_or_refused_and_never_quoted() {
    smoke("configuration", configuration::target, RUNS / 4);
}

#[test]
fn every_fuzz_target_is_run_here() {
    let names = |folder: &str| {
        let mut names = smoke::files(&smoke::root().join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        names.sort();
        names
    };
    let here = include_str!("main.rs");
    for name in names("fuzz_targets") {
        assert!(
            here.contains(&format!("smoke(\"{name}\", {name}::target, ")),
            "{name}"
        );
    }
    let manifest: toml::Table = std::fs::read_to_string(smoke::root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs: Vec<&str> = programs.map(|bin| bin["name"].as_str().unwrap()).collect();
    assert_eq!(names("fuzz_targets"), programs);
    assert_eq!(names("targets"), names("fuzz_targets"));
    assert_eq!(names("targets"), names("dictionaries"));
    assert_eq!(names("targets"), names("corpus"));
}
