//! How the gateway reads what its documentation leaves open.

use std::borrow::Cow;
use std::str::FromStr;

/// How many headers, and how many query pairs, a gateway reads that ignores the others.
const READ: usize = 100;

/// The readings of a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// How paths are read.
    pub paths: PathReading,
    /// Headers and query pairs beyond the first hundred are ignored.
    pub first_hundred: bool,
}

/// How several slashes in a row in a path are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathReading {
    /// As they are.
    #[default]
    Kept,
    /// As one, also if they are encoded.
    Merged,
}

/// A text that is no [`PathReading`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("expected `kept` or `merged`")]
pub struct PathReadingError;

impl FromStr for PathReading {
    type Err = PathReadingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "kept" => Ok(Self::Kept),
            "merged" => Ok(Self::Merged),
            _ => Err(PathReadingError),
        }
    }
}

impl Readings {
    /// A target as it is verified.
    pub(super) fn target(self, target: &str) -> Cow<'_, str> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut read = Cow::Borrowed(path);
        if self.paths == PathReading::Merged {
            let mut merged = path.replace("%2F", "/").replace("%2f", "/");
            while merged.contains("//") {
                merged = merged.replace("//", "/");
            }
            read = merged.into();
        }
        if let Some(query) = query {
            let pairs = query
                .split('&')
                .take(if self.first_hundred { READ } else { usize::MAX });
            read.to_mut().push('?');
            read.to_mut().push_str(&pairs.collect::<Vec<_>>().join("&"));
        }
        read
    }

    /// The number of headers that are read.
    pub(super) fn headers(self) -> usize {
        if self.first_hundred { READ } else { usize::MAX }
    }
}
