// SPDX-License-Identifier: Apache-2.0
//! Flags of `kiln lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::build_context::{NamedContextArg, parse_named};
use super::value::{self, Pair};

/// How the findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintFormat {
    /// For people.
    #[default]
    Text,
    /// As BuildKit's JSON.
    Json,
    /// Static Analysis Results Interchange Format 2.1.0.
    Sarif,
}

/// Check Dockerfiles.
#[derive(Args, Clone, Debug)]
pub(crate) struct LintArgs {
    /// Directories with a Dockerfile, or Dockerfiles; `-` is stdin [default: .]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Dockerfile of the directory PATH; may be given several times
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,
    /// How the findings are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: LintFormat,
    /// Look only at what this stage needs [default: all stages]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; without `=VALUE`, from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = value::parse_pair)]
    pub(crate) build_arg: Vec<Pair>,
    /// Additional context, as `kiln build` takes it
    #[arg(long, value_name = "NAME=CONTEXT", value_parser = parse_named)]
    pub(crate) build_context: Vec<(String, NamedContextArg)>,
    /// Ask neither the store nor registries about base images
    #[arg(long)]
    pub(crate) offline: bool,
    /// Explain a rule, or list all rules
    #[arg(long, value_name = "RULE", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["paths", "file"])]
    pub(crate) explain: Option<String>,
}
