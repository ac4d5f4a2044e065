// SPDX-License-Identifier: Apache-2.0
//! Contestants in turn, medians, and the Markdown table of them.

use std::fmt;
use std::fs;
use std::time::Duration;

/// How much work rows do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Seconds in all: shows that the bench works.
    Smoke,
    /// The sizes that figures are published for.
    Full,
}

impl Scale {
    /// Returns the size for this scale.
    pub(crate) fn of<T>(self, smoke: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Full => full,
        }
    }
}

/// Returns the keys of rows that were asked for, in arguments or in the environment; none for all.
fn wanted() -> Option<Vec<String>> {
    let arguments = std::env::args().skip(1);
    let keys: Vec<String> = arguments.filter(|one| !one.starts_with('-')).collect();
    if keys.is_empty() {
        return integration::bench_only();
    }
    Some(keys)
}

fn is_of_registries(key: &str) -> bool {
    key == "registry" || key.starts_with("registry-")
}

/// Says whether a row was asked for; `registry` asks for every row of registries.
pub(crate) fn is_wanted(key: &str) -> bool {
    let is_asked = |one: &String| one == key || (one == "registry" && is_of_registries(key));
    wanted().is_none_or(|keys| keys.iter().any(is_asked))
}

/// Says whether any row of builders was asked for: their daemons take long to start.
pub(crate) fn are_builders_wanted() -> bool {
    wanted().is_none_or(|keys| !keys.iter().all(|key| is_of_registries(key)))
}

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Time for the work; less is better.
    Seconds,
    /// Work in a second; more is better.
    PerSecond,
    /// Megabytes (10⁶) in a second; more is better.
    MegabytesPerSecond,
    /// Mebibytes; less is better.
    Mebibytes,
    /// How many times as much as without; less is better.
    Times,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds => format!("{value:.2} s"),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Self::Mebibytes => format!("{value:.0} MiB"),
            Self::Times => format!("{value:.2}×"),
        }
    }

    /// Returns how many times better `ours` is than `theirs`.
    fn ratio(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::Seconds | Self::Mebibytes | Self::Times => theirs / ours,
            Self::PerSecond | Self::MegabytesPerSecond => ours / theirs,
        }
    }
}

/// One row: what was done, and the median of each contestant that could do it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) unit: Unit,
    /// By column; kiln is the first.
    pub(crate) medians: Vec<Option<f64>>,
    pub(crate) target: &'static str,
}

/// Rows with the same contestants.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) contestants: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| Work |")?;
        for contestant in &self.contestants {
            write!(f, " {contestant} |")?;
        }
        write!(f, " target |\n|---|")?;
        for _ in &self.contestants {
            write!(f, "---:|")?;
        }
        write!(f, "---|")?;
        for row in &self.rows {
            write!(f, "\n| {} |", row.work)?;
            let ours = row.medians.first().copied().flatten();
            for (column, median) in row.medians.iter().enumerate() {
                match (median, ours) {
                    (Some(value), Some(ours)) if column > 0 => {
                        let ratio = row.unit.ratio(ours, *value);
                        write!(f, " {} ({ratio:.1}×) |", row.unit.show(*value))?;
                    }
                    (Some(value), _) => write!(f, " {} |", row.unit.show(*value))?,
                    (None, _) => write!(f, " – |")?,
                }
            }
            write!(f, " {} |", row.target)?;
        }
        Ok(())
    }
}

/// Runs each contestant once a round, in an order that rotates, and returns their medians.
///
/// `run` gets the contestant's column, and returns what was measured.
pub(crate) fn in_turn(
    contestants: usize,
    rounds: usize,
    mut run: impl FnMut(usize) -> f64,
) -> Vec<Option<f64>> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); contestants];
    for round in 0..rounds {
        for turn in 0..contestants {
            let column = (round + turn) % contestants;
            // Who writes durably must not wait for what the one before left unwritten.
            rustix::fs::sync();
            values[column].push(run(column));
        }
    }
    values.into_iter().map(median).collect()
}

/// Returns the middle value; the lower of two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// Returns seconds as a number.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Returns one line on the machine that was measured.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown processor");
    let count = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{count} × {model}, Linux {}. Medians; in brackets, how many times kiln is better.",
        kernel.trim()
    )
}

/// Returns the greatest resident size that a running process ever had, in MiB.
pub(crate) fn peak_memory(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
