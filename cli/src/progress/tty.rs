// SPDX-License-Identifier: Apache-2.0
//! Progress as a live view: one line per step, the last output of those that run, redrawn in place.
//!
//! ```text
//! [+] Building 3.4s (4/6)
//!  => CACHED [1/3] FROM docker.io/library/gcc                       0.0s
//!  => [2/3] RUN make                                                3.1s
//!  => => # cc -c x.c
//! ```
//!
//! The view never has more lines than the terminal: a line that scrolled away could not be redrawn.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use builder::progress::{Event, Outcome, StepId, StepPlan};

use super::{Display, escape};
use crate::text::size;

/// Lines of output shown of a running step.
const LOG_LINES: usize = 6;
/// Parts (layers being downloaded) shown of a running step.
const PARTS_MAX: usize = 8;
/// The longest part of an output line that is kept, in bytes.
const LINE_MAX_BYTES: usize = 1024;

/// The display.
pub(super) struct Tty<W> {
    out: W,
    size: fn() -> (usize, usize),
    colors: bool,
    steps: BTreeMap<StepId, Step>,
    /// In the order in which they began.
    order: Vec<StepId>,
    total: usize,
    warnings: Vec<String>,
    drawn_lines: usize,
    dirty: bool,
}

#[derive(Default)]
struct Step {
    name: String,
    started: Duration,
    outcome: Option<(Outcome, Duration)>,
    lines: VecDeque<String>,
    partial: Vec<u8>,
    parts: BTreeMap<String, (u64, u64)>,
}

impl<W: Write + Send> Tty<W> {
    /// Returns a display that writes to `out`, whose columns and rows `size` tells.
    pub(super) fn new(out: W, size: fn() -> (usize, usize), colors: bool) -> Self {
        Self {
            out,
            size,
            colors,
            steps: BTreeMap::new(),
            order: Vec::new(),
            total: 0,
            warnings: Vec::new(),
            drawn_lines: 0,
            dirty: true,
        }
    }

    fn add(&mut self, plan: &StepPlan) {
        let step = Step {
            name: escape::line(plan.name.as_bytes(), false),
            ..Step::default()
        };
        self.total += usize::from(self.steps.insert(plan.id, step).is_none());
    }

    /// Returns the step, which is shown from now on.
    fn step(&mut self, id: StepId, now: Duration) -> Option<&mut Step> {
        let step = self.steps.get_mut(&id)?;
        if !self.order.contains(&id) {
            self.order.push(id);
            step.started = now;
        }
        Some(step)
    }

    fn draw(&mut self, now: Duration, is_last: bool) {
        let (columns, rows) = (self.size)();
        let mut lines = vec![self.header(now)];
        let steps: Vec<Vec<String>> = self
            .order
            .iter()
            .filter_map(|id| self.steps.get(id))
            .map(|step| step.view(now, columns, is_last))
            .collect();
        let room = if is_last {
            usize::MAX
        } else {
            rows.saturating_sub(2).max(1)
        };
        lines.extend(fitting(steps, room));
        if is_last {
            lines.append(&mut self.warnings);
        }
        let mut text = String::new();
        if self.drawn_lines > 0 {
            write!(text, "\x1b[{}A", self.drawn_lines).ok();
        }
        text.push_str("\r\x1b[J");
        self.drawn_lines = lines.len();
        for line in lines {
            text.push_str(&self.painted(&cut(&line, columns)));
            text.push('\n');
        }
        self.out.write_all(text.as_bytes()).ok();
        self.out.flush().ok();
        self.dirty = false;
    }

    fn header(&self, now: Duration) -> String {
        let ended = self.steps.values().filter(|step| step.outcome.is_some());
        let ended = ended.count();
        let word = if self.total > 0 && ended == self.total {
            " FINISHED"
        } else {
            ""
        };
        let seconds = now.as_secs_f64();
        format!("[+] Building {seconds:.1}s ({ended}/{}){word}", self.total)
    }

    fn painted(&self, line: &str) -> String {
        let color = match line {
            _ if !self.colors => return line.to_owned(),
            line if line.starts_with(" => => ") => "2",
            line if line.starts_with(" => ERROR") => "31",
            line if line.starts_with(" => CANCELED") || line.starts_with("WARNING") => "33",
            line if line.ends_with(" FINISHED") || line.starts_with(" => ") => "34",
            _ => return line.to_owned(),
        };
        format!("\x1b[{color}m{line}\x1b[0m")
    }
}

impl Step {
    fn log(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let room = LINE_MAX_BYTES.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = escape::line(&std::mem::take(&mut self.partial), false);
                if self.lines.len() == LOG_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(line.replace('\t', "    "));
            } else if piece.ends_with(b"\r") {
                // A progress bar draws its line again.
                self.partial.clear();
            }
        }
    }

    fn view(&self, now: Duration, columns: usize, is_last: bool) -> Vec<String> {
        let (mark, seconds) = match &self.outcome {
            None => ("", now.saturating_sub(self.started)),
            Some((Outcome::Cached, took)) => ("CACHED ", *took),
            Some((Outcome::Done, took)) => ("", *took),
            Some((Outcome::Failed(_), took)) => ("ERROR ", *took),
            Some((Outcome::Cancelled, took)) => ("CANCELED ", *took),
        };
        let time = format!("{:.1}s", seconds.as_secs_f64());
        let width = columns.saturating_sub(time.len() + 2).max(20);
        let name = cut(&format!(" => {mark}{}", self.name), width);
        let gap = width.saturating_sub(name.chars().count());
        let mut lines = vec![format!("{name}{} {time}", " ".repeat(gap))];
        if self.outcome.is_some() || is_last {
            return lines;
        }
        for (part, (current, total)) in self.parts.iter().take(PARTS_MAX) {
            let amount = match total {
                0 => size(*current),
                _ => format!("{} / {}", size(*current), size(*total)),
            };
            lines.push(format!(" => => {part} {amount}"));
        }
        lines.extend(self.lines.iter().map(|line| format!(" => => # {line}")));
        lines
    }
}

/// Returns the lines of as many steps as there is room for: running ones whole if possible, of the
/// ended ones the latest.
fn fitting(mut steps: Vec<Vec<String>>, room: usize) -> Vec<String> {
    let mut total: usize = steps.iter().map(Vec::len).sum();
    let mut at = 0;
    // Ended steps are one line; drop the oldest of them first.
    while total > room && at < steps.len() {
        if steps[at].len() == 1 {
            steps[at].clear();
            total -= 1;
        }
        at += 1;
    }
    for step in steps.iter_mut().rev() {
        while total > room && step.len() > 1 {
            step.pop();
            total -= 1;
        }
    }
    let mut lines: Vec<String> = steps.into_iter().flatten().collect();
    lines.truncate(room);
    lines
}

/// Returns at most `columns` characters of a line.
fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

impl<W: Write + Send> Display for Tty<W> {
    fn event(&mut self, event: &Event, now: Duration) {
        self.dirty = true;
        match event {
            Event::Planned(plans) => plans.iter().for_each(|plan| self.add(plan)),
            Event::Added(plan) => self.add(plan),
            Event::Started(id) => drop(self.step(*id, now)),
            Event::Log { step, bytes, .. } => {
                if let Some(step) = self.step(*step, now) {
                    step.log(bytes);
                }
            }
            Event::Amount {
                step,
                part,
                current,
                total,
                done,
            } => {
                let Some(step) = self.step(*step, now) else {
                    return;
                };
                let part = escape::line(part.as_bytes(), false);
                if *done {
                    step.parts.remove(&part);
                } else {
                    step.parts.insert(part, (*current, *total));
                }
            }
            Event::Finished {
                step,
                outcome,
                took,
            } => {
                if let Some(step) = self.step(*step, now) {
                    step.outcome = Some((outcome.clone(), *took));
                    step.lines.clear();
                }
            }
            Event::Warning { message, .. } => {
                let message = escape::line(message.as_bytes(), false);
                self.warnings.push(format!("WARNING: {message}"));
            }
        }
    }

    fn tick(&mut self, now: Duration) {
        let running = self.steps.len() > self.order.len()
            || self.steps.values().any(|step| step.outcome.is_none());
        if self.dirty || running {
            self.draw(now, false);
        }
    }

    fn finish(&mut self, now: Duration) {
        self.draw(now, true);
    }
}
