// SPDX-License-Identifier: Apache-2.0
//! `kiln lint`: the rules over one or many Dockerfiles, without building.
//!
//! Base images are looked up if that can be done: in the local store, then in registries. What
//! cannot be found is no problem here; rules that need to know the variables of a base image then
//! say nothing about its stages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder::progress::Silent;
use builder::{Builder, SourceAccess};
use frontend_dockerfile::BuildInput;
use frontend_dockerfile::lint::{self, BaseImages, Lint, Scope};

use super::offline::Offline;
use super::{build, build_input, rule_page};
use crate::args::lint::LintArgs;
use crate::context::{self, BuildSource};
use crate::findings::{self, Finding};
use crate::report::{self, Failure};
use crate::session::{self, Session};

/// Checks every file and prints what was found.
pub(super) fn run(args: &LintArgs, session: &Session) -> Result<(), Failure> {
    if let Some(rule) = &args.explain {
        return rule_page::run(rule);
    }
    let builder = if args.offline {
        None
    } else {
        // A state directory that cannot be used is no reason not to read a text.
        build::open(session, None).ok()
    };
    let mut findings = Vec::new();
    for source in sources(args, session)? {
        let input = build_input::to_lint(args, &session.environment, &source)?;
        let lint = check(builder.as_ref(), args, &input)?;
        if !args.offline {
            remark(&input, &lint);
        }
        findings.push(Finding {
            source: input.source,
            lint,
        });
    }
    report::print(&findings::render(&findings, args.format))?;
    findings::verdict(&findings, false)
}

fn check(builder: Option<&Builder>, args: &LintArgs, input: &BuildInput) -> Result<Lint, Failure> {
    session::block_on_droppable(async {
        Ok(match builder {
            Some(builder) => {
                let layouts = build_input::layouts(&args.build_context);
                let sources = SourceAccess::default();
                let resolver = builder.resolver(&layouts, sources, Arc::new(Silent));
                lint::lint(input, Scope::Check, BaseImages::IfFound, &resolver).await
            }
            None => lint::lint(input, Scope::Check, BaseImages::Unknown, &Offline).await,
        })
    })
}

/// Says which rules could not do their work.
fn remark(input: &BuildInput, lint: &Lint) {
    for image in &lint.unknown {
        let file = input.source.name();
        let image = image.familiar();
        report::remark(&format!(
            "note: {file}: {image} cannot be looked up; its variables are taken as set\n"
        ));
    }
}

/// Finds the files: those that `-f` names in the one directory, or those that the paths are.
fn sources(args: &LintArgs, session: &Session) -> Result<Vec<BuildSource>, Failure> {
    let scratch = session.root().join("tmp");
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() {
        &here[..]
    } else {
        &args.paths
    };
    if !args.file.is_empty() {
        let [directory] = paths else {
            return Err(Failure::usage("-f goes with one directory only")
                .hint("name the files without -f: kiln lint FILE…"));
        };
        let files = args.file.iter();
        return files
            .map(|file| context::open_here(directory, Some(file), &scratch))
            .collect();
    }
    paths.iter().map(|path| source(path, &scratch)).collect()
}

fn source(path: &Path, scratch: &Path) -> Result<BuildSource, Failure> {
    if path == Path::new("-") || path.is_dir() {
        return context::open_here(path, None, scratch);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    context::open_here(directory, Some(path), scratch)
}
