// SPDX-License-Identifier: Apache-2.0
//! What a Dockerfile offers to its callers: the targets that it has, and what one target takes.
//!
//! The answers of `--call targets` and `--call outline`. Field names are those of BuildKit's JSON.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/subrequests/{outline,targets}`.

mod capture;

use graph::ImageResolver;

pub(crate) use capture::{Capture, gather};

use crate::error::DockerfileError;
use crate::lint::{self, Lines};
use crate::options::BuildInput;
use crate::parse;
use crate::span::SourceText;

/// What one target takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The name of the target; empty if it has none.
    pub name: String,
    /// What the comment above its FROM says.
    pub description: String,
    /// Build arguments that it, and stages that it needs, read; in the order of the file.
    pub args: Vec<OutlineArg>,
    /// Secrets, in the order of the file.
    pub secrets: Vec<OutlineMount>,
    /// Agents, in the order of the file.
    pub ssh: Vec<OutlineMount>,
}

/// A build argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// What the comment above it says.
    pub description: String,
    /// The value that it has in this build.
    pub value: String,
    /// The lines of its ARG.
    pub lines: Lines,
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineMount {
    /// Its id.
    pub name: String,
    /// Whether a step fails without it.
    pub required: bool,
    /// The lines of the first RUN that mounts it.
    pub lines: Lines,
}

/// One target that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty if it has none.
    pub name: String,
    /// Whether it is built if nobody names one.
    pub is_default: bool,
    /// What the comment above its FROM says.
    pub description: String,
    /// What it starts from, as written.
    pub base: String,
    /// `--platform` as written; empty if there is none.
    pub platform: String,
    /// The lines of its FROM.
    pub lines: Lines,
}

/// Returns what the target of `input` takes.
///
/// # Errors
///
/// The Dockerfile is wrong, or a base image cannot be had.
///
/// # Cancellation
///
/// Nothing stays behind but what `resolver` already downloaded.
pub async fn outline<R: ImageResolver>(
    input: &BuildInput,
    resolver: &R,
) -> Result<Outline, DockerfileError> {
    lint::outline(input, resolver).await
}

/// Returns the targets of a file, in its order.
///
/// # Errors
///
/// The Dockerfile is wrong.
pub fn targets(source: &SourceText) -> Result<Vec<Target>, DockerfileError> {
    let dockerfile =
        parse::parse(source).map_err(|problems| DockerfileError::invalid(source, problems))?;
    let last = dockerfile.stages.len() - 1;
    let stages = dockerfile.stages.iter().enumerate();
    let targets = stages.map(|(index, stage)| {
        let name = stage.from.stage_name().unwrap_or_default();
        let platform = stage.from.platform.as_ref();
        Target {
            description: lint::description(&stage.instruction, &name),
            name,
            is_default: index == last,
            base: stage.from.base.text.clone(),
            platform: platform.map(|word| word.text.clone()).unwrap_or_default(),
            lines: Lines::of(source, stage.instruction.span),
        }
    });
    Ok(targets.collect())
}
