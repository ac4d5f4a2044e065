// SPDX-License-Identifier: Apache-2.0
//! `kiln`: words typed by people, words shown to people.
//!
//! Data order: [`environment`] is read once, [`args`] parses the command line, [`settings`] the
//! config files; a [`session`] holds what commands work with; [`commands`] has a file per command;
//! [`progress`] shows builds, [`findings`] warnings, [`report`] errors; [`text`] writes sizes, times and tables.
//!
//! Does no work of its own: everything happens in `frontend-dockerfile`, `builder` and `registry`.
//!
//! Invariants
//! 1. The environment, the clock and the arguments are read here and passed on as values.
//! 2. No thread exists before the command decides what it needs.
//! 3. Whatever fails ends in one [`report::Failure`], printed once; a panic ends with code 70.

mod args;
mod commands;
mod context;
mod environment;
mod explanation;
mod findings;
mod progress;
mod report;
mod session;
mod settings;
mod text;

use std::io::{self, IsTerminal};
use std::panic;
use std::process::ExitCode;

use clap::Parser;

use environment::Environment;
use report::{Exit, Failure};

fn main() -> ExitCode {
    let environment = Environment::read();
    let color = io::stderr().is_terminal() && !environment.no_color();
    let failure = match panic::catch_unwind(|| run(environment)) {
        Ok(Ok(code)) => return ExitCode::from(code),
        Ok(Err(failure)) => failure,
        // The default hook has printed the message and the place.
        Err(_) => Failure::new(Exit::Bug, "this is a bug in kiln")
            .hint("please report it with the lines above and the command that you ran")
            .hint("the state directory is in order: the next command works"),
    };
    report::remark(&failure.render(color));
    ExitCode::from(failure.exit().code())
}

/// Runs one command and returns what the shell gets.
fn run(environment: Environment) -> Result<u8, Failure> {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Ok(told_by_clap(&error)),
    };
    commands::run(cli, environment)
}

/// Prints help, version or what is wrong with the command line.
fn told_by_clap(error: &clap::Error) -> u8 {
    let code = if error.use_stderr() {
        Exit::Usage.code()
    } else {
        0
    };
    match error.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed.code(),
        _ => code,
    }
}
