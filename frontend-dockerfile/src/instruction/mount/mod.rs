// SPDX-License-Identifier: Apache-2.0
//! `RUN --mount`: options of the five types.
//!
//! A mount is read twice: as written, where every option without a variable is checked, and in
//! lowering, where variables have values. `from` never takes variables.
//!
//! `Observed:` BuildKit 73ed6825 `instructions/commands_runmount.go`.

mod csv;
mod resolve;
#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostic;
use crate::expand::{ExpandError, Expander, NoVariables};
use crate::span::{Span, Word};

pub(crate) use resolve::parse_bool;

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

/// Parses the value of `--mount` and checks what can be checked without variables.
pub(super) fn parse(word: &Word) -> Result<MountSpec, Diagnostic> {
    let Some(fields) = csv::fields(&word.text) else {
        let message = format!(
            "`{}` is not a list of fields separated by commas",
            word.text
        );
        return Err(Diagnostic::error(word.span, message).help("check the quotes"));
    };
    let options = fields
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => MountOption {
                key: key.to_lowercase(),
                value: Some(value.to_owned()),
            },
            None => MountOption {
                key: field.to_lowercase(),
                value: None,
            },
        })
        .collect();
    let spec = MountSpec {
        options,
        span: word.span,
    };
    if let Some(from) = spec.value("from").filter(|from| from.contains('$')) {
        let message = format!("`from={from}`: `from` doesn't support variable expansion");
        return Err(Diagnostic::error(word.span, message)
            .help("define a stage with FROM and a global ARG, and name that stage here"));
    }
    if spec.has_variables() {
        spec.check_keys()?;
    } else {
        spec.resolve(&mut |value| {
            Expander::new('\\')
                .expand(value, &NoVariables)
                .map(|expanded| expanded.text)
        })?;
    }
    Ok(spec)
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

    fn has_variables(&self) -> bool {
        let values = self
            .options
            .iter()
            .filter_map(|option| option.value.as_deref());
        values.into_iter().any(|value| value.contains('$'))
    }

    /// Returns the mount with every value expanded by `expand`.
    ///
    /// # Errors
    ///
    /// A [`Diagnostic`] at the flag for the first option that is unknown, malformed, or does not
    /// belong to the type.
    pub fn resolve(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, ExpandError>,
    ) -> Result<Mount, Diagnostic> {
        resolve::resolve(self, expand)
    }

    fn check_keys(&self) -> Result<(), Diagnostic> {
        self.options
            .iter()
            .try_for_each(|option| resolve::check_key(&option.key, self.span))
    }
}
