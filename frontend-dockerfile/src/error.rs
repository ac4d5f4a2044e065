// SPDX-License-Identifier: Apache-2.0
//! Why a Dockerfile has no plan.

use graph::{ResolveError, SourceTimeError};

use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Report};
use crate::lint::ParseLintConfigError;
use crate::span::SourceText;
use graph::pattern::ParsePatternError;

/// The error of [`crate::DockerfileFrontend`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerfileError {
    /// The Dockerfile is wrong; every problem is here.
    #[error("{} has {}", .0.source.name(), count(.0.diagnostics.len()))]
    Invalid(Box<InvalidDockerfile>),
    /// `--target` names no stage.
    #[error("target stage `{target}` is not in {file}")]
    UnknownTarget {
        /// What was asked for.
        target: String,
        /// The name shown for the Dockerfile.
        file: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The ignore file is wrong.
    #[error("cannot read {file}")]
    Ignore {
        /// The name shown for it.
        file: String,
        /// The line, with carets below it; empty if it is about no line.
        excerpt: String,
        /// What is wrong.
        source: ParsePatternError,
    },
    /// A base image cannot be had.
    #[error("cannot use the image named in {place}")]
    BaseImage {
        /// File, line and column of the name.
        place: String,
        /// The line that names it, with carets below the name.
        excerpt: String,
        /// What to do about it, if the name is nearly that of a stage.
        hint: Option<String>,
        /// Why.
        #[source]
        source: Box<ResolveError>,
    },
    /// `BUILDKIT_MULTI_PLATFORM` is no truth value, or is false for several platforms.
    #[error("BUILDKIT_MULTI_PLATFORM={value} {}", if *.platforms > 1 { format!("contradicts --platform with {} platforms", .platforms) } else { "is neither true nor false".to_owned() })]
    MultiPlatform {
        /// The value of the build argument.
        value: String,
        /// For how many platforms the build is; 1 if the value itself is wrong.
        platforms: usize,
    },
    /// The build argument that configures the rules is wrong.
    #[error("cannot read the build argument BUILDKIT_DOCKERFILE_CHECK")]
    CheckConfig(#[source] ParseLintConfigError),
    /// There are warnings, and the file says that they are errors.
    #[error("lint violation found for rules: {}", .0.join(", "))]
    Violations(Vec<&'static str>),
    /// `SOURCE_DATE_EPOCH` is neither a number nor the name of something.
    #[error(
        "SOURCE_DATE_EPOCH `{0}` is neither a number of seconds since 1970, nor `context`, nor a named context, nor a stage"
    )]
    Epoch(String),
    /// The source that `SOURCE_DATE_EPOCH` names cannot be asked.
    #[error("cannot read SOURCE_DATE_EPOCH")]
    EpochSource(#[from] SourceTimeError),
    /// The main context is a git address that cannot be used.
    #[error("cannot use the build context: {0}")]
    Context(String),
}

/// A Dockerfile and what is wrong with it.
#[derive(Clone, Debug)]
pub struct InvalidDockerfile {
    /// The file.
    pub source: SourceText,
    /// Every problem, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl InvalidDockerfile {
    /// Returns the text to show: one block per problem.
    pub fn report(&self) -> String {
        Report::new(&self.source, &self.diagnostics).to_string()
    }
}

impl DockerfileError {
    /// Returns the error of a file with problems.
    pub(crate) fn invalid(source: &SourceText, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.message.cmp(&b.message)));
        diagnostics.dedup();
        diagnostics.truncate(DIAGNOSTICS_MAX);
        Self::Invalid(Box::new(InvalidDockerfile {
            source: source.clone(),
            diagnostics,
        }))
    }
}

fn count(problems: usize) -> String {
    if problems == 1 {
        "1 problem".to_owned()
    } else {
        format!("{problems} problems")
    }
}
