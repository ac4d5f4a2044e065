// SPDX-License-Identifier: Apache-2.0
//! From an error to what the user reads and the shell gets.
//!
//! ```text
//! error: not allowed to push to registry.example/acme/app
//!   cause: DENIED: requested access to the resource is denied
//!    hint: sign in first: `kiln login registry.example`
//! ```
//!
//! The chain of sources is printed here and nowhere else, each link once. Problems of a Dockerfile
//! come with their own excerpts (`frontend_dockerfile::Report`) and are printed as they are.
//!
//! Spec: the table of exit codes in `docs/ARCHITECTURE.md`.

pub(crate) mod advice;
mod classify;
pub(crate) mod git;
pub(crate) mod step;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// The longest chain of causes that is printed.
const CAUSES_MAX: usize = 16;

/// What the shell gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A build step failed, or what was asked for does not exist.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The Dockerfile or the context is not valid.
    Input,
    /// A registry or the network.
    Network,
    /// The store or the cache is damaged or cannot be written.
    Store,
    /// Our bug.
    Bug,
    /// Stopped by a signal: 128 and its number, as in shells.
    Signal(u8),
    /// The code of a program that was run.
    Program(u8),
}

impl Exit {
    /// Returns the number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::Network => 4,
            Self::Store => 5,
            Self::Bug => 70,
            Self::Signal(number) => 128 + number,
            Self::Program(code) => code,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    /// Text to print as it is before the message: excerpts.
    body: String,
    /// None if the text says all, or nothing is to be said.
    message: Option<String>,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    /// Returns a failure that is told by `message` alone.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            body: String::new(),
            message: Some(message.into()),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Returns a failure for a wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Returns a failure that says nothing.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            message: None,
            ..Self::new(exit, "")
        }
    }

    /// Returns a failure told by an error and its sources.
    pub(crate) fn from_error(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, error.to_string()).because(error.source())
    }

    /// Adds another problem of the same kind.
    pub(crate) fn also(mut self, problem: &str) -> Self {
        if let Some(message) = &mut self.message {
            message.push('\n');
            message.push_str(problem);
        }
        self
    }

    /// Adds an error and its sources as causes.
    pub(crate) fn because(mut self, error: Option<&dyn Error>) -> Self {
        let mut next = error;
        while let Some(cause) = next
            && self.causes.len() < CAUSES_MAX
        {
            let text = cause.to_string();
            // Wrappers often repeat what they wrap.
            let last = self.causes.last().or(self.message.as_ref());
            let repeated = last.is_some_and(|last| last.ends_with(&text));
            if !repeated {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Adds something to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts text before the message.
    pub(crate) fn body(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Returns what the shell gets.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns what the user reads; empty if nothing.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut out = self.body.clone();
        let error = if color {
            "\x1b[31merror\x1b[0m"
        } else {
            "error"
        };
        if let Some(message) = &self.message {
            writeln!(out, "{error}: {}", printable(message)).ok();
        }
        for cause in &self.causes {
            writeln!(out, "  cause: {}", printable(cause)).ok();
        }
        for hint in &self.hints {
            writeln!(out, "   hint: {}", printable(hint)).ok();
        }
        out
    }
}

/// Returns the text without anything that could move the cursor: names in it come from outside.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' => out.push_str("\n       "),
            '\t' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

impl From<io::Error> for Failure {
    /// Turns a failure to write to standard output into a failure of the command.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The reader has seen enough, as in `kiln images | head -1`.
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Signal(13)),
            _ => Self::new(Exit::Failed, format!("cannot write to stdout: {error}")),
        }
    }
}

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes a remark or an error to standard error. That it cannot be written cannot be told.
pub(crate) fn remark(text: &str) {
    io::stderr().lock().write_all(text.as_bytes()).ok();
}
