// SPDX-License-Identifier: Apache-2.0
//! The system call filter of a step: Docker's default policy as a search tree in BPF.
//!
//! `policy` says what happens to each number, `assemble` turns that into instructions, `table`
//! has the names and numbers. Compiled once, in the zygote, and loaded by each step.
//!
//! Ours: an own assembler instead of a library. The kernel runs the whole filter once per system
//! call number when it is loaded, so the length of a path decides: a balanced tree loads in
//! 0.1 ms, a linear list of the same rules in 1 ms.

mod assemble;
mod policy;
mod table;

#[cfg(test)]
mod tests;

use crate::sys::Filter;

/// Returns the filter for this machine's architecture.
pub(crate) fn default_filter() -> Vec<Filter> {
    let dialects: Vec<_> = policy::native_architectures()
        .iter()
        .map(|&architecture| policy::dialect(architecture))
        .collect();
    assemble::program(&dialects)
}
