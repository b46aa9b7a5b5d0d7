//! Runs a target on its corpus and on changes of it.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::mutations::{dictionary, mutations};

/// Seed of the changes, so that a run can be repeated.
const SEED: u64 = 20_261_123;

/// How many changes are tried of a target that takes as long as most: a second or two in a debug build.
pub(crate) const RUNS: u64 = 20_000;

type Target = fn(&[u8]);

/// Runs `target` on its corpus, then on so many changes of it.
pub(crate) fn smoke(name: &str, target: Target, runs: u64) {
    let corpus: Vec<Vec<u8>> = files(&root().join("corpus").join(name))
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    corpus.iter().for_each(|input| run(name, target, input));

    let (seed, runs) = (number("FUZZ_SEED", SEED), number("FUZZ_RUNS", runs));
    let path = root().join("dictionaries").join(format!("{name}.dict"));
    let words = dictionary(&fs::read_to_string(path).unwrap());
    let count = usize::try_from(runs).unwrap();
    for input in mutations(seed, &corpus, &words).take(count) {
        run(name, target, &input);
    }
}

/// The folder of everything that is about fuzzing.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// What is in a folder, in one order; there has to be something.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

/// Runs a target on one input; one that fails is kept.
fn run(name: &str, target: Target, input: &[u8]) {
    if catch_unwind(|| target(input)).is_ok() {
        return;
    }
    let folder = root().join("artifacts").join(name);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("smoke");
    fs::write(&file, input).unwrap();
    panic!(
        "{name} fails for {} = b\"{}\"",
        file.display(),
        input.escape_ascii()
    );
}

/// A number from the environment, shown when the test fails.
fn number(name: &str, default: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "no configuration: it is for this test"
    )]
    let value = std::env::var(name).map_or(default, |text| text.parse().unwrap());
    #[expect(clippy::print_stdout, reason = "it is shown when the test fails")]
    {
        println!("{name}={value}");
    }
    value
}
