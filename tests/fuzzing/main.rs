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
    let names = |folder: &str| -> Vec<String> {
        let files = smoke::files(&smoke::root().join(folder));
        let name =
            |path: &std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.iter().map(name).collect()
    };
    let manifest = std::fs::read_to_string(smoke::root().join("Cargo.toml")).unwrap();
    for name in names("fuzz_targets") {
        let call = format!("smoke(\"{name}\", {name}::target, ");
        assert!(include_str!("main.rs").contains(&call), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    for folder in ["targets", "dictionaries", "corpus"] {
        assert_eq!(names(folder), names("fuzz_targets"));
    }
}
