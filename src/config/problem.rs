//! What is wrong with a configuration: where it was said, which key, and what to do.

use std::fmt;
use std::path::PathBuf;

use crate::escape::Visible;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file, on a line counted from 1.
    File(PathBuf, usize),
    /// In a file as a whole.
    WholeFile(PathBuf),
    /// In an environment variable.
    Variable(String),
    /// In an option of the command line.
    Option(&'static str),
    /// Nowhere: it is a default, or it is missing.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One thing that is wrong. Its texts never hold a value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub place: Place,
    /// The key; empty if it is about the file itself.
    pub key: String,
    /// What is expected, or what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Nowhere {
            write!(f, "{}: ", Visible(&self.place))?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", Visible(&self.key))?;
        }
        // Of one line, but it may name a file.
        write!(f, "{}", Visible(&self.message))
    }
}

/// Everything that is wrong, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            all => {
                write!(f, "{} problems:", all.len())?;
                all.iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}
