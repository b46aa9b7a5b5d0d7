//! Finds out what a signer did otherwise: signs what known mistakes would have made of the request,
//! and names the one that gives the signature that came.
//!
//! A match is certain, as no two texts have one signature. So mistakes are tried freely, alone and in
//! pairs; the number of attempts is bounded, and each costs one hash of the canonical request.

mod fields;
mod key;
mod path;
mod payload;
mod percent;
mod query;

use super::lines::Lines;
use super::request::Request;
use crate::credentials::Credentials;
use crate::signature::{Presented, Signer, SigningDate};

/// The longest canonical request that pairs of mistakes are tried with: there are thousands of them.
const LONGEST_FOR_PAIRS: usize = 32 << 10;

/// What was signed instead.
#[derive(Debug)]
pub(super) struct Explanation {
    /// What the signer did, and what to do instead.
    pub(super) says: String,
    /// What the signer signed.
    pub(super) signed: Lines,
}

/// Something that a signer may have done otherwise.
struct Mistake {
    says: String,
    make: Box<dyn Fn(&mut Lines)>,
}

impl Mistake {
    fn new(says: impl Into<String>, make: impl Fn(&mut Lines) + 'static) -> Self {
        Self {
            says: says.into(),
            make: Box::new(make),
        }
    }

    fn made(&self, lines: &Lines) -> Lines {
        let mut lines = lines.clone();
        (self.make)(&mut lines);
        lines
    }
}

/// What gives the signature of a request that does not verify, if that is a known mistake.
pub(super) fn explain(
    request: &Request,
    lines: &Lines,
    credentials: &Credentials,
) -> Option<Explanation> {
    let presented = Presented::parse(request.authorization()?).ok()?;
    let search = Search {
        lines,
        date: lines.date()?,
        signature: presented.signature.to_ascii_lowercase(),
        signer: Signer::new(&credentials.access_key, &credentials.secret_key),
    };
    let mistakes = mistakes(request, lines, presented.signed_headers);
    search
        .misspelt()
        .or_else(|| search.alone(&mistakes))
        .or_else(|| search.with_other_keys(credentials, &mistakes))
        .or_else(|| search.in_pairs(&mistakes))
}

/// All mistakes but those with the key; the likely ones come first within their part.
fn mistakes(request: &Request, lines: &Lines, names: &str) -> Vec<Mistake> {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.target.as_str(), ""),
    };
    let mut mistakes = payload::mistakes(&request.body);
    mistakes.extend(path::mistakes(path, lines));
    mistakes.extend(query::mistakes(query, lines));
    mistakes.extend(fields::mistakes(request, lines, names));
    mistakes
}

/// A signature, and what it is looked for with.
struct Search<'a> {
    lines: &'a Lines,
    date: SigningDate,
    signature: String,
    signer: Signer,
}

impl Search<'_> {
    fn matches(&self, signer: &Signer, lines: &Lines) -> bool {
        signer.matches_text(&lines.text(), &self.date, &self.signature)
    }

    /// The signature is not spelt as one, or is right once it is in small letters.
    fn misspelt(&self) -> Option<Explanation> {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        if self.signature.len() != 64 || !self.signature.bytes().all(is_digit) {
            return Some(Explanation {
                says: "the signature is not 64 hexadecimal digits; write all 32 bytes of it like that, and not in Base64".to_owned(),
                signed: self.lines.clone(),
            });
        }
        self.matches(&self.signer, self.lines).then(|| Explanation {
            says: "the signature is written in capital letters; write it in small ones".to_owned(),
            signed: self.lines.clone(),
        })
    }

    fn alone(&self, mistakes: &[Mistake]) -> Option<Explanation> {
        mistakes.iter().find_map(|mistake| {
            let signed = mistake.made(self.lines);
            self.matches(&self.signer, &signed).then(|| Explanation {
                says: mistake.says.clone(),
                signed,
            })
        })
    }

    fn in_pairs(&self, mistakes: &[Mistake]) -> Option<Explanation> {
        if self.lines.text().len() > LONGEST_FOR_PAIRS {
            return None;
        }
        let pairs = mistakes.iter().enumerate().flat_map(|(at, first)| {
            let made = first.made(self.lines);
            let seconds = mistakes[at + 1..].iter();
            seconds.map(move |second| (first, second, second.made(&made)))
        });
        let mut matching = pairs.filter(|(_, _, signed)| self.matches(&self.signer, signed));
        let (first, second, signed) = matching.next()?;
        Some(Explanation {
            says: both(&first.says, &second.says),
            signed,
        })
    }

    /// With what the secret key becomes by mistake, alone and with one other mistake.
    fn with_other_keys(
        &self,
        credentials: &Credentials,
        mistakes: &[Mistake],
    ) -> Option<Explanation> {
        key::signers(credentials)
            .into_iter()
            .find_map(|(says, signer)| {
                if self.matches(&signer, self.lines) {
                    let signed = self.lines.clone();
                    return Some(Explanation {
                        says: says.to_owned(),
                        signed,
                    });
                }
                mistakes.iter().find_map(|mistake| {
                    let signed = mistake.made(self.lines);
                    self.matches(&signer, &signed).then(|| Explanation {
                        says: both(says, &mistake.says),
                        signed,
                    })
                })
            })
    }
}

fn both(first: &str, second: &str) -> String {
    format!("{first}; and besides, {second}")
}
