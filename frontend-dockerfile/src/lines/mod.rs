// SPDX-License-Identifier: Apache-2.0
//! The lexical layer: text → directives and logical lines.
//!
//! A logical line is one instruction: continuations are joined, comment lines between them are
//! dropped, the bodies of its heredocs hang on it. It knows for every byte where that byte came
//! from. Nothing here knows an instruction, except that RUN, COPY and ADD may open heredocs.

pub(crate) mod directive;
pub(crate) mod heredoc;
mod logical;
mod split;
#[cfg(test)]
mod tests;

pub use directive::{Directive, Directives, detect_syntax};
pub use heredoc::Heredoc;
pub use logical::Comment;
pub(crate) use logical::{LogicalLine, Slice};
pub(crate) use split::{split, trim_continuation};

/// The longest physical line, its end included. `Observed:` BuildKit 73ed6825 names this number.
pub const LINE_BYTES_MAX: usize = 65535;
/// The largest Dockerfile. `Ours:` far above any real one, far below what hurts.
pub const FILE_BYTES_MAX: usize = 16 << 20;
