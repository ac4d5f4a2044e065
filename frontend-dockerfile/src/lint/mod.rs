// SPDX-License-Identifier: Apache-2.0
//! The lint rules: what is allowed but rarely meant.
//!
//! `rule` is the table, `config` says which rules are on, `comments` reads what authors say above
//! an instruction, `warning` collects what is found. The rules themselves: `file` needs the text
//! alone, `from` the global scope, `stage` the variables of a stage, which `walk` keeps up to
//! date. `run` puts them in order; `bases` says what is known of base images.
//!
//! Conditions, texts, lines and order are BuildKit's, so that lines like `# check=skip=…` and
//! tools that read the answers keep working. Places are finer: a warning also knows its words.
//!
//! `Docs:` Docker build checks. `Observed:` BuildKit 73ed6825 `frontend/dockerfile/linter`; its
//! answers are recorded in `tests/lint/`.

mod bases;
mod comments;
mod config;
mod file;
mod from;
mod rule;
mod run;
mod spelling;
mod stage;
mod variables;
mod walk;
mod warning;

pub use bases::BaseImages;
pub use config::{LintConfig, ParseLintConfigError};
pub use rule::{RULES, Rule};
pub use run::{Lint, Scope, lint};
pub use warning::{Lines, WARNINGS_MAX, Warning};

pub(crate) use comments::description;
pub(crate) use run::outline;
