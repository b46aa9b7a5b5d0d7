//! Header fields in the order, the spelling and the bytes in which they came.
//!
//! Not `http::HeaderMap`: that one folds names to lower case, and moves the values of a name together.

use std::ops::Range;

use bytes::Bytes;

use super::FIELDS;
use super::malformed::Malformed;

/// The fields of a head.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    block: Bytes,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    name: Range<u32>,
    value: Range<u32>,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as it came: a token, so ASCII. Not text, which would have to be checked again each time.
    pub name: &'a [u8],
    /// Its value without the blanks around it. It may hold bytes that are not ASCII.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Fields {
    /// The fields that a parser found in `block`.
    ///
    /// # Panics
    ///
    /// If a field is not inside of `block`, or that is longer than 4 GiB.
    pub(super) fn new(block: Bytes, found: &[httparse::Header<'_>]) -> Self {
        let base = block.as_ptr().addr();
        let range = |part: &[u8]| {
            if part.is_empty() {
                return 0..0;
            }
            let start = u32::try_from(part.as_ptr().addr() - base).expect("heads are short");
            start..start + u32::try_from(part.len()).expect("heads are short")
        };
        let line = |field: &httparse::Header<'_>| Line {
            name: range(field.name.as_bytes()),
            value: range(field.value),
        };
        let lines = found.iter().map(line).collect();
        Self { block, lines }
    }

    /// Reads the fields of trailers: lines up to and including an empty one.
    ///
    /// # Errors
    ///
    /// [`Malformed::Trailers`].
    pub fn of_trailers(block: &Bytes) -> Result<Self, Malformed> {
        let mut found = [httparse::EMPTY_HEADER; FIELDS];
        match httparse::parse_headers(block, &mut found) {
            Ok(httparse::Status::Complete((length, found))) if length == block.len() => {
                let found = found.to_vec();
                Ok(Self::new(block.clone(), &found))
            }
            _ => Err(Malformed::Trailers),
        }
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| Field {
            name: self.part(&line.name),
            value: self.part(&line.value),
        })
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The values of a name in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        // Not over `iter`: a head is asked for many names, and each time all of its own would be made text.
        self.lines
            .iter()
            .filter(move |line| self.part(&line.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|line| self.part(&line.value))
    }

    /// The first value of a name.
    #[must_use]
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The value of a name that is there once; `None` if it is missing or there again.
    #[must_use]
    pub fn only<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The elements of a comma-separated list, over all lines of a name, without blanks.
    pub fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// Whether a list has an element, whatever its case.
    #[must_use]
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name)
            .any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    fn part(&self, range: &Range<u32>) -> &[u8] {
        &self.block[range.start as usize..range.end as usize]
    }
}
