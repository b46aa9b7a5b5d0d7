//! The emulator's time, which a test can set.
//!
//! Finer than the seconds of a signature: keys that live for two seconds expire between two of them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock;

/// The time, in seconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What an emulator takes for the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what this function says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's clock.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(clock::timestamp)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl From<Now> for Clock {
    /// A clock that has no fractions of a second.
    fn from(now: Now) -> Self {
        Self::new(move || Timestamp::from_second(now()).unwrap_or_default())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
