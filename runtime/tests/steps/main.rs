// SPDX-License-Identifier: Apache-2.0
//! Steps in real sandboxes.
//!
//! Has its own `main`: the zygote must be forked before there are threads. Runs the cases as root,
//! then itself again as an ordinary user with subordinate ids. Where that cannot be done it says
//! so in one line and passes.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::print_stdout, reason = "a test harness of its own")]

mod bed;
mod escape_cases;
mod harness;
mod life_cases;
mod mount_cases;
mod sandbox_cases;

fn main() -> std::process::ExitCode {
    harness::main(&[
        sandbox_cases::CASES,
        mount_cases::CASES,
        escape_cases::CASES,
        life_cases::CASES,
    ])
}
