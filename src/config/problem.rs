//! Problems with a configuration: the place, the key, what is wrong, and what to do.

use std::fmt;
use std::path::PathBuf;

use crate::escape::{Escaped, EscapedLines};

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file, on a line counted from 1; 0 for the file as a whole.
    File(PathBuf, usize),
    /// In an environment variable.
    Variable(String),
    /// In an option of the command line.
    Option(&'static str),
    /// Nowhere: it is a default, or missing.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One problem. Its texts never hold a value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place of the value.
    pub place: Place,
    /// The key; empty if it is about the file itself.
    pub key: String,
    /// What is wrong; what to do follows on a line of its own that begins with `hint:`.
    pub message: String,
}

impl Problem {
    pub(super) fn new(place: Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self {
            place,
            key,
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Nowhere {
            write!(f, "{}: ", Escaped(&self.place))?;
        }
        // An option names its key.
        if !self.key.is_empty() && !matches!(self.place, Place::Option(_)) {
            write!(f, "{}: ", Escaped(&self.key))?;
        }
        // It may name a file.
        write!(f, "{}", EscapedLines(&self.message))
    }
}

/// All problems, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            all => {
                write!(f, "{} problems:", all.len())?;
                all.iter().try_for_each(|problem| {
                    write!(f, "\n  {}", problem.to_string().replace('\n', "\n  "))
                })
            }
        }
    }
}
