// SPDX-License-Identifier: Apache-2.0
//! Where the time of day comes from.

use std::fmt;
use std::sync::Arc;

use crate::Timestamp;

/// Tells the time; tests fix it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns a clock that asks `now` each time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the clock of the kernel.
    pub fn system() -> Self {
        Self::new(|| {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            Timestamp {
                secs: now.tv_sec,
                nanos: u32::try_from(now.tv_nsec).unwrap_or(0),
            }
        })
    }

    /// Returns a clock that always tells the same moment.
    pub fn fixed(moment: Timestamp) -> Self {
        Self::new(move || moment)
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
