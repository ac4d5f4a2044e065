// SPDX-License-Identifier: Apache-2.0
//! `RUN --mount`: options of the five types.
//!
//! A mount is read twice: as written, where only the split into options and `from` are checked, and
//! in lowering, where variables have values. `from` never takes variables. What a stage says that
//! nobody needs is therefore never looked at.
//!
//! `Observed:` BuildKit 73ed6825 `instructions/commands_runmount.go`.

mod resolve;
#[cfg(test)]
mod tests;

use super::csv;
use crate::diagnostic::Diagnostic;
use crate::expand::ExpandError;
use crate::span::{Span, Word};

pub use resolve::KEYS;
pub(crate) use resolve::parse_bool;

/// What to do instead of a variable in `from`.
pub(super) const FROM_HELP: &str =
    "make it a stage: `ARG image` at the top, `FROM $image AS name`, and write `name` here";

/// A mount as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// The options, keys in lower case, in their order.
    pub options: Vec<MountOption>,
    /// Where the flag stands.
    pub span: Span,
}

/// One option of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// The key.
    pub key: String,
    /// The value before expansion, if there is a `=`.
    pub value: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// The type of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret as a file or a variable.
    Secret,
    /// The socket of an agent.
    Ssh,
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One step; others get a new directory.
    Private,
    /// One step; others wait.
    Locked,
}

/// A mount with all values in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The type.
    pub kind: MountKind,
    /// Stage, named context or image that `source` is in.
    pub from: Option<String>,
    /// Path in `from`, or in the context.
    pub source: Option<String>,
    /// Path in the step.
    pub target: Option<String>,
    /// Whether the step cannot write to it.
    pub read_only: bool,
    /// Cache: who may use it at the same time.
    pub sharing: Sharing,
    /// Name of cache, secret or agent.
    pub id: Option<String>,
    /// Secret, ssh: whether the step fails without it.
    pub required: bool,
    /// Tmpfs: size in bytes.
    pub size_bytes: Option<u64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Secret: the variable it is put in.
    pub env: Option<String>,
}

/// Takes the value of `--mount` apart and checks what takes no variables.
pub(super) fn parse(word: &Word) -> Result<MountSpec, Diagnostic> {
    let fields = csv::fields(word, "mount")?.into_iter();
    let options = fields.map(|field| match field.text.split_once('=') {
        Some((key, value)) => MountOption {
            key: key.to_lowercase(),
            value: Some(value.to_owned()),
            span: field.span,
        },
        None => MountOption {
            key: field.text.to_lowercase(),
            value: None,
            span: field.span,
        },
    });
    let spec = MountSpec {
        options: options.collect(),
        span: word.span,
    };
    // `Observed:` BuildKit lets a `$` at the end pass, which then is no name of anything.
    let variable = |option: &&MountOption| {
        let value = option.value.as_deref().unwrap_or_default();
        option.key == "from" && value.find('$').is_some_and(|at| at + 1 < value.len())
    };
    match spec.options.iter().find(variable) {
        Some(option) => Err(Diagnostic::error(
            option.span,
            "`from` of a mount cannot contain variables",
        )
        .help(FROM_HELP)),
        None => Ok(spec),
    }
}

impl MountSpec {
    /// Returns the value of an option as written.
    pub fn value(&self, key: &str) -> Option<&str> {
        let option = self.options.iter().rev().find(|option| option.key == key)?;
        option.value.as_deref()
    }

    /// Returns the stage, context or image that the mount reads from. Only literal values count,
    /// because `from` takes no variables.
    pub fn from(&self) -> Option<&str> {
        self.value("from").filter(|from| !from.is_empty())
    }

    /// Returns the mount with every value expanded by `expand`.
    ///
    /// # Errors
    ///
    /// A [`Diagnostic`] at the first option that is unknown, malformed, or does not
    /// belong to the type.
    pub fn resolve(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, ExpandError>,
    ) -> Result<Mount, Diagnostic> {
        resolve::resolve(self, expand)
    }
}
