// SPDX-License-Identifier: Apache-2.0
//! HEALTHCHECK: `NONE`, or flags and `CMD`.

use super::Request;
use super::duration::parse_duration;
use crate::diagnostic::Diagnostic;
use crate::flags::{FlagKind, Flags};
use crate::span::Word;
use crate::words;

/// A duration that is not zero is at least this. `Docs:` moby's container limits.
const INTERVAL_MIN_NANOSECONDS: i64 = 1_000_000;

pub(super) const FLAGS: [(&str, FlagKind); 5] = [
    ("interval", FlagKind::Text),
    ("timeout", FlagKind::Text),
    ("start-period", FlagKind::Text),
    ("start-interval", FlagKind::Text),
    ("retries", FlagKind::Text),
];

/// How to tell whether a container works. Durations are nanoseconds, 0 means the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// The test.
    pub test: HealthcheckTest,
    /// Time between two tests.
    pub interval: i64,
    /// Time after which a test counts as failed.
    pub timeout: i64,
    /// Time in which failures don't count.
    pub start_period: i64,
    /// Time between two tests in the start period.
    pub start_interval: i64,
    /// Failures in a row that count.
    pub retries: i64,
}

/// What tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthcheckTest {
    /// Nothing: the test of the base image is switched off.
    None,
    /// A program and its arguments.
    Exec(Vec<Word>),
    /// A line for the shell.
    Shell(Word),
}

impl Healthcheck {
    /// Returns the test as the image config holds it.
    pub fn test_words(&self) -> Vec<String> {
        match &self.test {
            HealthcheckTest::None => vec!["NONE".to_owned()],
            HealthcheckTest::Exec(words) => {
                let words = words.iter().map(|word| word.text.clone());
                std::iter::once("CMD".to_owned()).chain(words).collect()
            }
            HealthcheckTest::Shell(line) => vec!["CMD-SHELL".to_owned(), line.text.clone()],
        }
    }
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Healthcheck, Diagnostic> {
    let (kind, rest) = words::split_first(request.arguments);
    match kind.text().to_uppercase().as_str() {
        "" => Err(request.missing("at least one argument")),
        "NONE" => {
            // `Observed:` BuildKit does not look at flags here, and an empty list is no argument.
            if rest.is_empty() || request.json(rest)?.is_some_and(|words| words.is_empty()) {
                return healthcheck(&Flags::default(), HealthcheckTest::None);
            }
            Err(
                Diagnostic::error(rest.span(), "HEALTHCHECK NONE takes no arguments")
                    .help("write only `HEALTHCHECK NONE`, or `HEALTHCHECK CMD …` for a test"),
            )
        }
        "CMD" => {
            let flags = request.flags(&FLAGS);
            let test = match request.json(rest)? {
                Some(words) => HealthcheckTest::Exec(words),
                None => HealthcheckTest::Shell(rest.word()),
            };
            let empty = match &test {
                HealthcheckTest::Exec(words) => words.is_empty(),
                _ => rest.is_empty(),
            };
            if empty {
                return Err(
                    Diagnostic::error(kind.span(), "HEALTHCHECK CMD without a command")
                        .help("write e.g. `HEALTHCHECK CMD curl -f http://localhost/`"),
                );
            }
            healthcheck(&flags, test)
        }
        _ => {
            let message = format!("HEALTHCHECK takes CMD or NONE, not `{}`", kind.text());
            Err(Diagnostic::error(kind.span(), message).help("write `HEALTHCHECK CMD …`"))
        }
    }
}

fn healthcheck(flags: &Flags, test: HealthcheckTest) -> Result<Healthcheck, Diagnostic> {
    Ok(Healthcheck {
        test,
        interval: duration(flags, "interval")?,
        timeout: duration(flags, "timeout")?,
        start_period: duration(flags, "start-period")?,
        start_interval: duration(flags, "start-interval")?,
        retries: retries(flags)?,
    })
}

fn duration(flags: &Flags, name: &str) -> Result<i64, Diagnostic> {
    let Some(word) = flags.text(name) else {
        return Ok(0);
    };
    match parse_duration(&word.text) {
        None => {
            let message = format!("`--{name}` cannot be `{}`", word.text);
            Err(Diagnostic::error(word.span, message)
                .help("write a number with a unit, e.g. `30s` or `1m30s`"))
        }
        Some(value) if value != 0 && value < INTERVAL_MIN_NANOSECONDS => {
            let message = format!("`--{name}` cannot be less than 1ms, but for 0");
            Err(Diagnostic::error(word.span, message).help("0 stands for the default"))
        }
        Some(value) => Ok(value),
    }
}

fn retries(flags: &Flags) -> Result<i64, Diagnostic> {
    let Some(word) = flags.text("retries") else {
        return Ok(0);
    };
    match word.text.parse::<i32>() {
        Ok(value) if value >= 0 => Ok(i64::from(value)),
        _ => {
            let message = format!("`--retries` cannot be `{}`", word.text);
            Err(Diagnostic::error(word.span, message)
                .help("write a number from 0, which stands for the default, to 2147483647"))
        }
    }
}
