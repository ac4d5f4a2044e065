// SPDX-License-Identifier: Apache-2.0
//! kiln beside Debian's builders and registry, doing the same work in the same minutes.
//!
//! ```text
//! cargo build --release -p cli && cargo bench -p integration --bench peers            full size
//! cargo bench -p integration --bench peers --profile ci -- --smoke                    for CI
//! KILN_BENCH_ROWS=run,cached cargo bench …                                            some rows
//! ```
//!
//! Every row runs its contestants in turn, several times, and compares medians: what else happens
//! on the machine hits all alike. Prints a Markdown table to standard output, and what it is doing
//! to standard error. A peer that is not installed is left out.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is a program that prints"
)]

mod builders;
mod measure;
mod registries;
mod trees;

use measure::Scale;

fn main() {
    // Cargo passes `--bench`; everything else is ours.
    let scale = if std::env::args().any(|argument| argument == "--smoke") {
        Scale::Smoke
    } else {
        Scale::Full
    };
    let mut tables = builders::tables(scale);
    tables.extend(registries::tables(scale));
    println!("{}", measure::machine());
    for table in tables {
        println!("\n{table}");
    }
}
