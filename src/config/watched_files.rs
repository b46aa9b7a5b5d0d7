//! A value loaded from files, and reloaded when they change.
//!
//! # What can go wrong
//!
//! Files may be replaced by others that cannot be used, or that are written only in part. Then the
//! old content stays in use, and the error is logged once.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fmt, fs};

use crate::lock::lock;

/// A value loaded from files. Clones share it.
#[derive(Clone)]
pub struct Watched<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    name: &'static str,
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, String> + Send>,
    current: T,
    /// The state of the files when the current value was loaded.
    read: FileStamps,
    /// The state of the files when loading last failed.
    failed: Option<FileStamps>,
}

/// What changes when a file is replaced or written: inode, length, mtime and ctime; `None` for a file
/// that does not exist. Tools that copy files set mtime back; no program can set ctime.
pub(crate) type FileStamps = Vec<Option<(u64, u64, [(i64, i64); 2])>>;

impl<T: Clone> Watched<T> {
    /// Loads the value for the first time.
    pub(crate) fn new(
        name: &'static str,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, String> + Send + 'static,
    ) -> Result<Self, String> {
        let read = stamps(&files);
        Ok(Self(Arc::new(Mutex::new(State {
            name,
            files,
            current: load()?,
            load: Box::new(load),
            read,
            failed: None,
        }))))
    }

    /// Loads the value again if the files have changed.
    pub fn refresh(&self) {
        let state = &mut *lock(&self.0);
        let now = stamps(&state.files);
        if state.read == now {
            return;
        }
        let name = state.name;
        match (state.load)() {
            Ok(value) => {
                tracing::info!("{name} was read again");
                (state.current, state.read, state.failed) = (value, now, None);
            }
            // It is tried again, since permissions may change without a trace, but logged once.
            Err(error) if state.failed.as_ref() != Some(&now) => {
                tracing::error!(
                    "{name} has changed and cannot be used; the old one stays: {error}"
                );
                state.failed = Some(now);
            }
            Err(_) => {}
        }
    }

    /// The current value.
    pub fn current(&self) -> T {
        lock(&self.0).current.clone()
    }
}

impl<T> PartialEq for Watched<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Watched<T> {}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// The state of files now.
pub(crate) fn stamps(files: &[PathBuf]) -> FileStamps {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        let written = (data.mtime(), data.mtime_nsec());
        let changed = (data.ctime(), data.ctime_nsec());
        Some((data.ino(), data.len(), [written, changed]))
    };
    files.iter().map(stamp).collect()
}
