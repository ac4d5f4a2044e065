// SPDX-License-Identifier: Apache-2.0
//! What a build does, shown while it does it: a sink of events with four faces.
//!
//! [`Progress`] takes the builder's events from any thread, keeps what a report on a failure needs
//! ([`record::Record`]) and hands every event to one [`Display`]: line by line ([`plain`]), a live
//! view ([`tty`]), JSON lines ([`rawjson`]), or nothing.
//!
//! The builder has replaced secrets by then; control sequences of steps never reach a display
//! ([`escape`]).

mod escape;
mod plain;
mod rawjson;
pub(crate) mod record;
#[cfg(test)]
mod tests;
pub(crate) mod transfer;
mod tty;

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use builder::progress::{Event, Sink};

use crate::args::build::ProgressKind;
use crate::environment::{self, Environment};
use crate::report::Failure;
use record::Record;

/// How often a display may redraw.
const TICK: Duration = Duration::from_millis(100);

/// Shows events. Times are counted from the start of the build.
trait Display: Send {
    /// Takes one event.
    fn event(&mut self, event: &Event, now: Duration);
    /// Called now and then.
    fn tick(&mut self, _now: Duration) {}
    /// Called once, at the end.
    fn finish(&mut self, _now: Duration) {}
}

/// Shows nothing.
struct Quiet;

impl Display for Quiet {
    fn event(&mut self, _event: &Event, _now: Duration) {}
}

/// The progress of one build.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    ticker: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    started: Instant,
    state: Mutex<State>,
    stopped: AtomicBool,
}

struct State {
    record: Record,
    display: Box<dyn Display>,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    /// Starts showing events.
    pub(crate) fn start(kind: ProgressKind, environment: &Environment) -> Self {
        let display = display(kind, environment);
        let ticks = !matches!(kind, ProgressKind::Quiet | ProgressKind::None);
        let shared = Arc::new(Shared {
            started: Instant::now(),
            state: Mutex::new(State {
                record: Record::default(),
                display,
            }),
            stopped: AtomicBool::new(false),
        });
        let ticker = ticks.then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.tick_until_stopped())
        });
        Self {
            shared,
            ticker: Mutex::new(ticker),
        }
    }

    /// Ends the display; later events are still recorded, but not shown.
    pub(crate) fn finish(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        let ticker = lock(&self.ticker).take();
        if let Some(ticker) = ticker {
            ticker.thread().unpark();
            ticker.join().ok();
        }
        let now = self.shared.started.elapsed();
        let mut state = lock(&self.shared.state);
        state.display.finish(now);
        state.display = Box::new(Quiet);
    }

    /// Returns what was recorded.
    pub(crate) fn with_record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&lock(&self.shared.state).record)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Sink for Progress {
    fn event(&self, event: Event) {
        let now = self.shared.started.elapsed();
        let mut state = lock(&self.shared.state);
        let State { record, display } = &mut *state;
        record.event(&event);
        display.event(&event, now);
    }
}

impl Shared {
    fn tick_until_stopped(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            let now = self.started.elapsed();
            lock(&self.state).display.tick(now);
        }
    }
}

/// A display that panicked once may be wrong, but the build goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn display(kind: ProgressKind, environment: &Environment) -> Box<dyn Display> {
    let err = io::stderr();
    let is_terminal = err.is_terminal();
    let live = is_terminal && !environment.is_dumb_terminal();
    match kind {
        ProgressKind::Auto | ProgressKind::Tty if live => {
            Box::new(tty::Tty::new(err, terminal_size, !environment.no_color()))
        }
        ProgressKind::Auto | ProgressKind::Tty | ProgressKind::Plain => Box::new(
            plain::Plain::new(err, is_terminal && !environment.no_color()),
        ),
        ProgressKind::Rawjson => Box::new(rawjson::RawJson::new(err, environment::now())),
        ProgressKind::Quiet | ProgressKind::None => Box::new(Quiet),
    }
}

/// Returns columns and rows of the terminal behind standard error, as they are now.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Returns the kind of display: the flag, else `BUILDKIT_PROGRESS`, else what fits.
pub(crate) fn kind(
    flag: Option<ProgressKind>,
    quiet: bool,
    environment: &Environment,
) -> Result<ProgressKind, Failure> {
    if quiet {
        return Ok(ProgressKind::Quiet);
    }
    if let Some(kind) = flag {
        return Ok(kind);
    }
    let Some(text) = environment.text("BUILDKIT_PROGRESS") else {
        return Ok(ProgressKind::Auto);
    };
    clap::ValueEnum::from_str(text, true).map_err(|_| {
        Failure::usage(format!(
            "BUILDKIT_PROGRESS=`{text}` is not one of auto, tty, plain, rawjson, quiet"
        ))
    })
}
