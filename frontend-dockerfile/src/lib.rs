// SPDX-License-Identifier: Apache-2.0
//! The Dockerfile frontend: Dockerfile text → build graph.
//!
//! Data order: [`span`] says where things stand, `lines` makes logical lines of the text, [`parse`]
//! makes instructions in stages of them (joint 1), [`expand`] replaces variables, `stages` finds
//! out which stages are needed, `lower` makes the graph and the image config (joint 2).
//! [`graph::pattern`] tells which files of the context exist, [`diagnostic`] shows what is wrong.
//!
//! Knows the Dockerfile reference and `.dockerignore`. Does not know files, networks, processes,
//! solvers or caches: nothing here does I/O; base images are asked for through
//! `graph::ImageResolver`.

mod ast;
mod context;
pub mod diagnostic;
mod download;
mod epoch;
mod error;
pub mod expand;
pub mod explain;
mod flags;
mod foresee;
pub mod format;
mod frontend;
mod git_url;
mod go_format;
pub mod instruction;
mod json_form;
mod lines;
pub mod lint;
mod lower;
pub mod options;
pub mod outline;
pub mod parse;
mod paths;
mod scope;
pub mod span;
mod stages;
mod words;

use graph::suggest;

pub use ast::AstText;
pub use context::{MainContext, NamedContext, context_name};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Level, Report};
pub use error::{DockerfileError, InvalidDockerfile};
pub use frontend::DockerfileFrontend;
pub use git_url::{GitTimes, GitUrl, GitUrlError};
pub use lines::{
    Comment, Directive, Directives, FILE_BYTES_MAX, Heredoc, LINE_BYTES_MAX, detect_syntax,
};
pub use options::{BuildInput, BuildOptions, NoCache};
pub use span::SourceText;
pub use stages::STAGES_MAX;
