// SPDX-License-Identifier: Apache-2.0
//! Progress line by line, in the form that users of BuildKit know.
//!
//! ```text
//! #5 [2/3] RUN make
//! #5 0.123 cc -c x.c
//! #5 DONE 0.3s
//!
//! #6 [3/3] RUN true
//! #6 CACHED
//! ```
//!
//! One step speaks at a time. What others say waits until it is done, or has spoken long enough.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use builder::progress::{Event, Outcome, StepId, StepPlan};

use super::{Display, escape};
use crate::text::size;

/// How long one step may speak while others wait.
const TURN: Duration = Duration::from_secs(2);
/// The longest part of a line that is shown, in bytes; the rest is in the log on disk.
const LINE_MAX_BYTES: usize = 16 << 10;

/// The display.
pub(super) struct Plain<W> {
    out: W,
    colors: bool,
    steps: BTreeMap<StepId, Step>,
    next_number: u32,
    /// Who speaks, and since when.
    current: Option<(StepId, Duration)>,
    /// Who waits, longest first.
    waiting: Vec<StepId>,
    is_first: bool,
}

#[derive(Default)]
struct Step {
    name: String,
    number: u32,
    started: Duration,
    /// Lines that wait for their turn.
    pending: String,
    partial: Vec<u8>,
    ended: bool,
}

impl<W: Write + Send> Plain<W> {
    /// Returns a display that writes to `out`; with `colors`, steps may write in colour.
    pub(super) fn new(out: W, colors: bool) -> Self {
        Self {
            out,
            colors,
            steps: BTreeMap::new(),
            next_number: 1,
            current: None,
            waiting: Vec::new(),
            is_first: true,
        }
    }

    fn add(&mut self, plan: &StepPlan) {
        let step = Step {
            name: escape::line(plan.name.as_bytes(), false),
            ..Step::default()
        };
        self.steps.insert(plan.id, step);
    }

    /// Returns the step, numbered now if it was not.
    fn step(&mut self, id: StepId) -> Option<&mut Step> {
        let step = self.steps.get_mut(&id)?;
        if step.number == 0 {
            step.number = self.next_number;
            self.next_number += 1;
        }
        Some(step)
    }

    fn log(&mut self, id: StepId, bytes: &[u8], now: Duration) {
        let colors = self.colors;
        let Some(step) = self.step(id) else {
            return;
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX_BYTES.saturating_sub(step.partial.len());
            step.partial
                .extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                step.end_line(now, colors);
            }
        }
    }

    fn finished(&mut self, id: StepId, outcome: &Outcome, took: Duration, now: Duration) {
        let colors = self.colors;
        let Some(step) = self.step(id) else {
            return;
        };
        if !step.partial.is_empty() {
            step.end_line(now, colors);
        }
        let end = match outcome {
            Outcome::Cached => "CACHED".into(),
            Outcome::Done => format!("DONE {:.1}s", took.as_secs_f64()),
            Outcome::Failed(reason) => format!("ERROR: {}", escape::line(reason.as_bytes(), false)),
            Outcome::Cancelled => "CANCELED".into(),
        };
        step.say(&end);
        step.ended = true;
    }

    /// Lets `id` speak, now or when its turn comes.
    fn wants_to_speak(&mut self, id: StepId, now: Duration) {
        let Some(step) = self.steps.get(&id) else {
            return;
        };
        match self.current {
            Some((current, _)) if current == id => self.speak(id),
            None => self.give_turn(id, now),
            Some(_) if !step.pending.is_empty() && !self.waiting.contains(&id) => {
                self.waiting.push(id);
            }
            Some(_) => {}
        }
        self.pass_turns(now);
    }

    fn give_turn(&mut self, id: StepId, now: Duration) {
        let Some(step) = self.steps.get(&id) else {
            return;
        };
        let gap = if self.is_first { "" } else { "\n" };
        self.is_first = false;
        writeln!(self.out, "{gap}#{} {}", step.number, step.name).ok();
        self.current = Some((id, now));
        self.speak(id);
    }

    /// Prints what a step has to say. That the terminal is gone does not end the build.
    fn speak(&mut self, id: StepId) {
        let Some(step) = self.steps.get_mut(&id) else {
            return;
        };
        let pending = std::mem::take(&mut step.pending);
        self.out.write_all(pending.as_bytes()).ok();
        if step.ended {
            self.current = None;
        }
    }

    /// Gives the turn on while the one who has it is done, or has had it long enough.
    fn pass_turns(&mut self, now: Duration) {
        while !self.waiting.is_empty() {
            if let Some((current, since)) = self.current {
                if now.saturating_sub(since) < TURN {
                    break;
                }
                let number = self.steps.get(&current).map_or(0, |step| step.number);
                writeln!(self.out, "#{number} ...").ok();
            }
            let next = self.waiting.remove(0);
            self.give_turn(next, now);
        }
        self.out.flush().ok();
    }
}

impl Step {
    fn say(&mut self, line: &str) {
        let number = self.number;
        writeln!(self.pending, "#{number} {line}").ok();
    }

    fn end_line(&mut self, now: Duration, colors: bool) {
        let line = escape::line(&std::mem::take(&mut self.partial), colors);
        let seconds = now.saturating_sub(self.started).as_secs_f64();
        self.say(format!("{seconds:.3} {line}").trim_end());
    }
}

impl<W: Write + Send> Display for Plain<W> {
    fn event(&mut self, event: &Event, now: Duration) {
        let speaker = match event {
            Event::Planned(plans) => {
                for plan in plans {
                    self.add(plan);
                }
                return;
            }
            Event::Added(plan) => return self.add(plan),
            Event::Started(id) => {
                if let Some(step) = self.step(*id) {
                    step.started = now;
                }
                *id
            }
            Event::Log { step, bytes, .. } => {
                self.log(*step, bytes, now);
                *step
            }
            Event::Amount {
                step: id,
                part,
                current,
                total,
                done: true,
            } => {
                let part = escape::line(part.as_bytes(), false);
                let line = match total {
                    0 => format!("{part} done"),
                    _ => format!("{part} {} / {} done", size(*current), size(*total)),
                };
                if let Some(step) = self.step(*id) {
                    step.say(&line);
                }
                *id
            }
            Event::Amount { .. } => return,
            Event::Finished {
                step,
                outcome,
                took,
            } => {
                self.finished(*step, outcome, *took, now);
                *step
            }
            Event::Warning {
                step,
                message,
                location,
            } => {
                let message = escape::line(message.as_bytes(), false);
                let place = location.as_ref().map_or_else(String::new, |range| {
                    format!(" ({}:{})", range.file.name, range.start_line)
                });
                let Some(id) = step.filter(|id| self.steps.contains_key(id)) else {
                    writeln!(self.out, "WARNING: {message}{place}").ok();
                    return;
                };
                if let Some(step) = self.step(id) {
                    step.say(&format!("WARNING: {message}{place}"));
                }
                id
            }
        };
        self.wants_to_speak(speaker, now);
    }

    fn tick(&mut self, now: Duration) {
        self.pass_turns(now);
    }

    fn finish(&mut self, now: Duration) {
        if let Some((current, _)) = self.current {
            self.current = Some((current, Duration::ZERO));
        }
        self.pass_turns(now.max(TURN));
        // Those that got their turn just now may have taken it from each other.
        while !self.waiting.is_empty() {
            self.current = None;
            self.pass_turns(now);
        }
        if !self.is_first {
            writeln!(self.out).ok();
        }
        self.out.flush().ok();
    }
}
