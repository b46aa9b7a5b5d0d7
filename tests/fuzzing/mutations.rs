//! Random changes of inputs: what a fuzzer does, without its feedback.

use std::ops::Range;

use fastrand::Rng;

/// The longest input, in bytes, as libFuzzer has it.
const LONGEST: usize = 4096;

/// The most changes of one input.
const CHANGES: usize = 5;

/// An endless sequence of changed inputs.
pub(crate) struct Mutations {
    rng: Rng,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutations {
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        assert!(!words.is_empty(), "the dictionary is empty");
        Self {
            rng: Rng::with_seed(seed),
            corpus,
            words,
        }
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let rng = &mut self.rng;
        let at = rng.usize(..=input.len());
        match rng.u8(..8) {
            0 => flip(rng, input),
            1 => replace(input, at..at, &[rng.u8(..)]),
            2 => replace(input, range(rng, input), b""),
            3 => {
                let range = range(rng, input);
                let part = input[range].to_vec();
                replace(input, at..at, &part);
            }
            4 => {
                let word = &self.words[rng.usize(..self.words.len())];
                replace(input, at..at, word);
            }
            5 => {
                let word = &self.words[rng.usize(..self.words.len())];
                let range = range(rng, input);
                replace(input, range, word);
            }
            6 => {
                let other = &self.corpus[rng.usize(..self.corpus.len())];
                let part = &other[range(rng, other)];
                replace(input, at..at, part);
            }
            _ => {
                let other = &self.corpus[rng.usize(..self.corpus.len())];
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.corpus[self.rng.usize(..self.corpus.len())].clone();
        for _ in 0..self.rng.usize(1..=CHANGES) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        Some(input)
    }
}

/// Changes a bit, or a letter into one that means the same to many.
fn flip(rng: &mut Rng, input: &mut [u8]) {
    if input.is_empty() {
        return;
    }
    let at = rng.usize(..input.len());
    input[at] = match input[at] {
        byte if rng.bool() => byte ^ 1 << rng.u8(..8),
        b'-' => b'_',
        b'_' => b'-',
        b' ' => b'\t',
        byte if byte.is_ascii_alphabetic() => byte ^ 0x20,
        byte => byte.wrapping_add(1),
    };
}

/// A part of an input, short most of the time.
fn range(rng: &mut Rng, input: &[u8]) -> Range<usize> {
    let start = rng.usize(..=input.len());
    let most = if rng.bool() { 4 } else { input.len() };
    let end = start + rng.usize(..=most.min(input.len() - start));
    start..end
}

fn replace(input: &mut Vec<u8>, range: Range<usize>, with: &[u8]) {
    input.splice(range, with.iter().copied());
}

/// The words of a dictionary of libFuzzer's: `"word"` on each line, with `\xNN`, `\"` and `\\`.
pub(crate) fn dictionary(text: &str) -> Vec<Vec<u8>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(word).collect()
}

fn word(line: &str) -> Vec<u8> {
    let text = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'));
    let mut bytes = text.unwrap_or_else(|| panic!("{line}")).bytes();
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

#[test]
fn the_same_seed_gives_the_same_inputs() {
    let inputs = |seed| -> Vec<Vec<u8>> {
        let corpus = vec![b"GET / HTTP/1.1".to_vec(), Vec::new()];
        let words = dictionary("# words\n\"\\x0d\\x0a\"\n\"\\\"\\\\\"\n");
        assert_eq!(words, [b"\r\n", b"\"\\"]);
        Mutations::new(seed, corpus, words).take(1000).collect()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    assert!(inputs(1).iter().all(|input| input.len() <= LONGEST));
}
