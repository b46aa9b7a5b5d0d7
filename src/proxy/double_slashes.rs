//! How the gateway reads paths with several slashes in a row, learned for each route.
//!
//! Clients send `//` when their base URL ends in `/`. Such a path is signed and sent as it is. A
//! gateway may merge slashes before it verifies; its refusal then echoes the canonical
//! request with the merged path. If that is what the proxy itself computes for this reading, down
//! to the last byte, the proxy signs in this reading from then on, for an hour or until the first
//! refusal that does not echo what was signed. The path on the wire stays.
//!
//! # What can go wrong
//!
//! Refusals of such paths must not lock the key for everybody, so each route has a breaker for
//! them, which opens after two. A gateway that does not echo is never learned from.

use std::borrow::Cow;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::key_breaker::KeyBreaker;
use crate::lock::lock;

/// How long a reading is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How a gateway reads a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PathReading {
    /// As it is sent.
    #[default]
    AsSent,
    /// Several slashes in a row are one.
    Merged,
    /// `%2F` is a slash, and several slashes in a row are one.
    DecodedAndMerged,
}

impl PathReading {
    /// The known readings. Most paths have no encoded slash, so an echo fits both that merge: the
    /// first one is what nginx does.
    pub(super) const ALL: [Self; 3] = [Self::AsSent, Self::DecodedAndMerged, Self::Merged];

    /// A target as it is signed in this reading.
    pub(super) fn apply(self, target: &str) -> Cow<'_, str> {
        if self == Self::AsSent {
            return target.into();
        }
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = match self {
            Self::DecodedAndMerged => decoded(path),
            _ => path.to_owned(),
        };
        Cow::Owned(merged(path) + query)
    }
}

/// True if a gateway may read several slashes in a row in a path.
pub(super) fn is_ambiguous(path: &str) -> bool {
    // For a text as short as this, the searcher behind `str::contains` takes several times as long.
    let has_two = |path: &str| path.as_bytes().windows(2).any(|pair| pair == b"//");
    has_two(path) || (path.contains('%') && has_two(&decoded(path)))
}

fn decoded(path: &str) -> String {
    path.replace("%2F", "/").replace("%2f", "/")
}

fn merged(mut path: String) -> String {
    let mut last = ' ';
    path.retain(|letter| std::mem::replace(&mut last, letter) != '/' || letter != '/');
    path
}

/// What is known about the paths of one route, for all workers.
#[derive(Debug)]
pub(super) struct LearnedReading {
    /// Keeps refusals of ambiguous paths from locking the key.
    pub(super) breaker: KeyBreaker,
    learned: Mutex<Option<(PathReading, Instant)>>,
}

impl Default for LearnedReading {
    fn default() -> Self {
        Self {
            breaker: KeyBreaker::of_paths(),
            learned: Mutex::default(),
        }
    }
}

impl LearnedReading {
    /// The reading that ambiguous paths are signed in now.
    pub(super) fn current(&self) -> PathReading {
        let mut learned = lock(&self.learned);
        if learned.is_some_and(|(_, at)| at.elapsed() >= REMEMBERED) {
            *learned = None;
            self.breaker.revoke_trust();
        }
        learned.map_or_else(PathReading::default, |(reading, _)| reading)
    }

    /// Remembers the reading that a refusal has shown; [`PathReading::AsSent`] if it has shown none.
    pub(super) fn learn(&self, reading: PathReading) {
        let is_other = reading != PathReading::AsSent;
        *lock(&self.learned) = is_other.then(|| (reading, Instant::now()));
        if is_other {
            tracing::info!(
                ?reading,
                "the gateway merges slashes in paths; requests of this route are signed in its reading"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_with_several_slashes_in_some_reading_are_ambiguous() {
        for (target, expected) in [
            ("/a/b?c=//", None),
            ("/a%2Fb", None),
            ("//a///b/?c=//", Some(("/a/b/?c=//", "/a/b/?c=//"))),
            ("/a/%2fb", Some(("/a/%2fb", "/a/b"))),
            ("/a%2F%2Fb//c", Some(("/a%2F%2Fb/c", "/a/b/c"))),
            ("/a%252F/b", None),
        ] {
            let path = target.split('?').next().unwrap();
            assert_eq!(is_ambiguous(path), expected.is_some(), "{target}");
            let [as_sent, decoded, merged] = PathReading::ALL.map(|reading| reading.apply(target));
            assert_eq!(as_sent, target);
            if let Some(expected) = expected {
                assert_eq!((&*merged, &*decoded), expected, "{target}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_is_remembered_for_an_hour_or_until_it_is_refused() {
        let learned = LearnedReading::default();
        for forget in [true, false] {
            learned.learn(PathReading::Merged);
            tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
            assert_eq!(learned.current(), PathReading::Merged);
            if forget {
                learned.learn(PathReading::AsSent);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(learned.current(), PathReading::AsSent);
        }
    }
}
