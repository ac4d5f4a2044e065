// SPDX-License-Identifier: Apache-2.0
//! kiln beside Debian's builders and registry, doing the same work in the same minutes.
//!
//! ```text
//! cargo build --release -p cli && cargo bench -p integration --bench peers            full size
//! cargo bench -p integration --bench peers --profile ci -- --smoke                    for CI
//! cargo bench … -- registry-gc, KILN_BENCH_ROWS=run,cached cargo bench …               some rows
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

mod bucket;
mod builders;
mod crowded;
mod filled;
mod load;
mod measure;
mod memory;
mod pulls;
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
    raise_descriptors();
    let mut tables = Vec::new();
    if measure::are_builders_wanted() {
        tables.extend(builders::tables(scale));
    }
    tables.extend(registries::tables(scale));
    tables.extend(memory::tables(scale));
    tables.extend(crowded::tables(scale));
    tables.extend(pulls::tables(scale));
    tables.extend(bucket::tables(scale));
    println!("{}", measure::machine());
    for table in tables {
        println!("\n{table}");
    }
}

/// Lets this process and the servers it starts have as many descriptors as they are allowed.
fn raise_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    // Rows that need more say how far they came.
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap_or_default();
}
