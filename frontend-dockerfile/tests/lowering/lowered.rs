// SPDX-License-Identifier: Apache-2.0
//! A few lines of a Dockerfile, lowered, and questions about what came out.

use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, SourceText,
};
use graph::{CopyAction, FileActionKind, Frontend, Op, Plan, RunOp, SourceOp};
use oci::Platform;
use serde_json::Value;

use crate::support::Shelf;

/// What lowering made.
pub(crate) struct Lowered {
    pub(crate) plan: Plan,
}

fn try_lower(text: &str, change: impl FnOnce(&mut BuildOptions)) -> Result<Plan, DockerfileError> {
    let mut options = BuildOptions::new(Platform::new("linux", "amd64", None));
    change(&mut options);
    let input = BuildInput {
        source: SourceText::new("Dockerfile", text.to_owned()),
        dockerignore: None,
        options,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(DockerfileFrontend.lower(&input, &Shelf::new()))
}

fn arguments(given: &[(&str, &str)]) -> impl FnOnce(&mut BuildOptions) {
    let given: Vec<(String, String)> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    |options| options.build_args.extend(given)
}

pub(crate) fn lower(text: &str) -> Lowered {
    Lowered::new(text, |_| {})
}

/// Lowers with build arguments.
pub(crate) fn lower_with(text: &str, given: &[(&str, &str)]) -> Lowered {
    Lowered::new(text, arguments(given))
}

/// Returns why a file has no plan.
pub(crate) fn refused(text: &str, given: &[(&str, &str)]) -> String {
    match try_lower(text, arguments(given)) {
        Ok(_) => panic!("{text} is accepted"),
        Err(DockerfileError::Invalid(invalid)) => invalid.report(),
        Err(error) => error.to_string(),
    }
}

impl Lowered {
    pub(crate) fn new(text: &str, change: impl FnOnce(&mut BuildOptions)) -> Self {
        match try_lower(text, change) {
            Ok(plan) => Self { plan },
            Err(DockerfileError::Invalid(invalid)) => panic!("{}", invalid.report()),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    fn ops(&self) -> impl Iterator<Item = &Op> {
        self.plan.graph.iter().map(|(_, vertex)| &vertex.op)
    }

    pub(crate) fn titles(&self) -> Vec<String> {
        let vertices = self.plan.graph.iter();
        vertices
            .map(|(_, vertex)| vertex.meta.name.clone())
            .collect()
    }

    pub(crate) fn runs(&self) -> Vec<&RunOp> {
        let runs = self.ops().filter_map(|op| match op {
            Op::Run(run) => Some(&**run),
            _ => None,
        });
        runs.collect()
    }

    /// Returns the last word of every RUN: of a shell form the line.
    pub(crate) fn commands(&self) -> Vec<&str> {
        let runs = self.runs().into_iter();
        runs.filter_map(|run| run.args.last().map(String::as_str))
            .collect()
    }

    fn last_run(&self) -> &RunOp {
        self.runs().last().expect("a RUN")
    }

    pub(crate) fn last_command(&self) -> Vec<&str> {
        self.last_run().args.iter().map(String::as_str).collect()
    }

    pub(crate) fn last_mounts(&self) -> Vec<&str> {
        let mounts = self.last_run().mounts.iter();
        mounts.map(|mount| mount.dest.as_str()).collect()
    }

    fn actions(&self) -> impl Iterator<Item = &FileActionKind> {
        let files = self.ops().filter_map(|op| match op {
            Op::File(file) => Some(&file.actions),
            _ => None,
        });
        files.flatten().map(|action| &action.kind)
    }

    pub(crate) fn copies(&self) -> Vec<CopyAction> {
        let copies = self.actions().filter_map(|action| match action {
            FileActionKind::Copy(copy) => Some((**copy).clone()),
            _ => None,
        });
        copies.collect()
    }

    /// Returns the text of every file that the Dockerfile itself holds.
    pub(crate) fn documents(&self) -> Vec<String> {
        let files = self.actions().filter_map(|action| match action {
            FileActionKind::Mkfile(file) => String::from_utf8(file.content.clone()).ok(),
            _ => None,
        });
        files.collect()
    }

    pub(crate) fn source(&self, identifier: &str) -> &SourceOp {
        let found = self.ops().find_map(|op| match op {
            Op::Source(source) if source.identifier == identifier => Some(source),
            _ => None,
        });
        found.expect("the source")
    }

    pub(crate) fn sources(&self) -> Vec<&str> {
        let sources = self.ops().filter_map(|op| match op {
            Op::Source(source) => Some(source.identifier.as_str()),
            _ => None,
        });
        sources.collect()
    }

    pub(crate) fn config_document(&self) -> Value {
        serde_json::to_value(&self.plan.targets[0].config).expect("JSON")
    }

    pub(crate) fn config(&self) -> Value {
        self.config_document()["config"].clone()
    }

    pub(crate) fn history(&self) -> Vec<String> {
        let document = self.config_document();
        let entries = document["history"].as_array().expect("a list").iter();
        let texts =
            entries.map(|entry| entry["created_by"].as_str().unwrap_or_default().to_owned());
        texts.collect()
    }
}
