// SPDX-License-Identifier: Apache-2.0
//! What a server does now and then on its own: collecting garbage, looking for damage.
//!
//! When it was done last is in the storage, not in the process: a server that is started anew every
//! day does what is due once a week, and of several replicas one does it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::config::{GcSchedule, ScrubSchedule};
use super::route::App;
use crate::storage::Turns;

/// Every how many cycles of garbage collection one looks at everything.
const THOROUGH_EVERY: u64 = 7;
/// The longest time between two looks at whether something is due.
const LOOK_MAX: Duration = Duration::from_mins(10);
/// The shortest, unless the period itself is shorter: what is written down are whole seconds.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// Collects garbage whenever it is due.
pub(super) async fn collect_again_and_again(app: Arc<App>, schedule: GcSchedule) {
    let turns = Turns {
        policy: schedule.policy,
        every_seconds: schedule.every.as_secs(),
        thorough_every: THOROUGH_EVERY,
    };
    loop {
        sleep(look_every(schedule.every)).await;
        let start = Instant::now();
        let monitor = &app.config.monitor;
        match app.store.collect_in_turn(&turns).await {
            Ok(Some(report)) => monitor.collected(&report, start.elapsed()),
            // Not due, or another replica has this turn.
            Ok(None) => {}
            Err(error) => {
                monitor.collection_failed();
                (app.config.report.0)(&error);
            }
        }
    }
}

/// Looks for damage whenever it is due.
pub(super) async fn scrub_again_and_again(app: Arc<App>, schedule: ScrubSchedule) {
    let ScrubSchedule { every, policy } = schedule;
    loop {
        sleep(look_every(every)).await;
        let start = Instant::now();
        let monitor = &app.config.monitor;
        match app.store.scrub_in_turn(&policy, every.as_secs()).await {
            Ok(Some(report)) => monitor.scrubbed(&report, start.elapsed()),
            Ok(None) => {}
            Err(error) => {
                monitor.scrub_failed();
                (app.config.report.0)(&error);
            }
        }
    }
}

/// Returns how long to wait before asking whether what is done every `period` is due.
fn look_every(period: Duration) -> Duration {
    (period / 10).clamp(LOOK_MIN.min(period), LOOK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_seen_soon() {
        for (period, look) in [
            (Duration::from_millis(200), Duration::from_millis(200)),
            (Duration::from_secs(5), Duration::from_secs(1)),
            (Duration::from_mins(10), Duration::from_mins(1)),
            (Duration::from_hours(24 * 7), LOOK_MAX),
        ] {
            assert_eq!(look_every(period), look, "{period:?}");
        }
    }
}
