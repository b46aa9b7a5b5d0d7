//! Random changes of inputs: what a fuzzer does, without its feedback.

use std::ops::Range;

use fastrand::Rng;

/// The longest input, in bytes, as libFuzzer has it.
const LONGEST: usize = 4096;

/// The most changes of one input.
const CHANGES: usize = 5;

/// An endless sequence of inputs of the corpus, with parts of them replaced by bytes, by words of a dictionary, and by
/// parts of other inputs.
pub(crate) fn mutations(
    seed: u64,
    corpus: &[Vec<u8>],
    words: &[Vec<u8>],
) -> impl Iterator<Item = Vec<u8>> {
    let mut rng = Rng::with_seed(seed);
    std::iter::repeat_with(move || {
        let mut input = rng.choice(corpus).unwrap().clone();
        for _ in 0..rng.usize(1..=CHANGES) {
            let other = rng.choice(corpus).unwrap();
            let with = match rng.u8(..4) {
                0 => vec![rng.u8(..)],
                1 => Vec::new(),
                2 => rng.choice(words).unwrap().clone(),
                _ => other[range(&mut rng, other)].to_vec(),
            };
            let mut range = range(&mut rng, &input);
            if rng.bool() {
                range.end = range.start;
            }
            input.splice(range, with);
        }
        input.truncate(LONGEST);
        input
    })
}

/// A part of an input, short most of the time.
fn range(rng: &mut Rng, input: &[u8]) -> Range<usize> {
    let start = rng.usize(..=input.len());
    let most = if rng.bool() { 4 } else { input.len() };
    let end = start + rng.usize(..=most.min(input.len() - start));
    start..end
}

/// The words of a dictionary of libFuzzer's: `"word"` on each line, with `\xNN`, `\"` and `\\`.
pub(crate) fn dictionary(text: &str) -> Vec<Vec<u8>> {
    let is_word = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(is_word).map(word).collect()
}

fn word(line: &str) -> Vec<u8> {
    let quoted = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'));
    let mut bytes = quoted.unwrap().bytes();
    let mut word = Vec::new();
    while let Some(byte) = bytes.next() {
        word.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            other => other,
        });
    }
    word
}
