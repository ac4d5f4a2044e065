// SPDX-License-Identifier: Apache-2.0
//! Another parser, `dockerfile-parser`, reads the same files: of those that it accepts, it must make
//! the same instructions.
//!
//! It does not know heredocs, flags of RUN and other escape characters; it takes `#` inside a line for
//! a comment, and two backslashes at its end, or one before a blank, for a continuation. Files with
//! these are left to the rules of `src/lines/tests.rs`.

mod dockerfiles;

use std::fs;
use std::path::Path;

use dockerfile_parser::{Dockerfile as Theirs, Instruction as Their, ShellOrExecExpr};
use frontend_dockerfile::instruction::{CommandLine, Instruction, Kind};
use frontend_dockerfile::{SourceText, parse};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// What can be compared of a file: a line for each instruction.
fn ours(text: &str) -> Option<Vec<String>> {
    let dockerfile = parse::parse(&SourceText::new("f", text)).ok()?;
    let stages = dockerfile
        .stages
        .iter()
        .flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions));
    let all = dockerfile.global_args.iter().chain(stages);
    Some(all.map(our_line).collect())
}

fn our_line(instruction: &Instruction) -> String {
    let keyword = instruction.kind.keyword();
    let rest: Vec<String> = match &instruction.kind {
        Kind::From(from) => [Some(&from.base), from.name.as_ref()]
            .into_iter()
            .flatten()
            .map(|word| word.text.clone())
            .collect(),
        Kind::Run(run) => command(&run.command),
        Kind::Cmd(line) | Kind::Entrypoint(line) => command(line),
        Kind::Env(pairs) | Kind::Label(pairs) => {
            pairs.iter().map(|pair| pair.key.text.clone()).collect()
        }
        _ => Vec::new(),
    };
    format!("{keyword} {rest:?}")
}

fn command(line: &CommandLine) -> Vec<String> {
    match line {
        CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
        CommandLine::Shell(line) => vec![blanks_once(&line.text)],
    }
}

fn theirs(text: &str) -> Option<Vec<String>> {
    let dockerfile = Theirs::parse(text).ok()?;
    Some(dockerfile.instructions.iter().map(their_line).collect())
}

fn their_line(instruction: &Their) -> String {
    let (keyword, rest) = match instruction {
        Their::From(from) => {
            let name = from.alias.as_ref().map(|name| name.content.clone());
            let words = std::iter::once(from.image.content.clone()).chain(name);
            ("FROM".to_owned(), words.collect())
        }
        Their::Arg(_) => ("ARG".to_owned(), Vec::new()),
        Their::Label(label) => {
            let names = label.labels.iter();
            let names = names.map(|label| label.name.content.clone());
            ("LABEL".to_owned(), names.collect())
        }
        Their::Env(env) => {
            let names = env.vars.iter().map(|pair| pair.key.content.clone());
            ("ENV".to_owned(), names.collect())
        }
        Their::Run(run) => ("RUN".to_owned(), expression(&run.expr)),
        Their::Cmd(cmd) => ("CMD".to_owned(), expression(&cmd.expr)),
        Their::Entrypoint(entrypoint) => ("ENTRYPOINT".to_owned(), expression(&entrypoint.expr)),
        Their::Copy(_) => ("COPY".to_owned(), Vec::new()),
        Their::Misc(misc) => (misc.instruction.content.to_uppercase(), Vec::new()),
    };
    format!("{keyword} {rest:?}")
}

fn expression(expression: &ShellOrExecExpr) -> Vec<String> {
    match expression {
        ShellOrExecExpr::Exec(words) => words
            .elements
            .iter()
            .map(|word| word.content.clone())
            .collect(),
        ShellOrExecExpr::Shell(line) => vec![blanks_once(&line.to_string())],
    }
}

/// They drop blanks at the start of a continuation line, we keep them.
fn blanks_once(text: &str) -> String {
    text.split_whitespace().collect()
}

fn beyond_them(text: &str) -> bool {
    let signs = [
        "<<",
        "--mount",
        "--network",
        "escape=",
        "\u{feff}",
        "\r",
        "\\\\\n",
        "\\ ",
    ];
    let comment = |line: &str| {
        line.trim_start()
            .get(1..)
            .is_some_and(|rest| rest.contains('#'))
    };
    signs.iter().any(|sign| text.contains(sign)) || text.lines().any(comment)
}

#[test]
fn the_corpus_is_read_alike() {
    let mut compared = 0;
    for folder in [
        "tests/corpus",
        "../integration/transcripts/build-and-run.in",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("readable").path();
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            if let (false, Some(ours), Some(theirs)) =
                (beyond_them(&text), ours(&text), theirs(&text))
            {
                assert_eq!(ours, theirs, "{}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared >= 3, "only {compared} files were compared");
}

#[test]
fn random_files_are_read_alike() {
    let mut runner = TestRunner::deterministic();
    let mut compared = 0;
    for _ in 0..500 {
        let file = dockerfiles::dockerfile().new_tree(&mut runner);
        let text = file.expect("a file").current();
        if let (false, Some(ours), Some(theirs)) = (beyond_them(&text), ours(&text), theirs(&text))
        {
            assert_eq!(ours, theirs, "{text}");
            compared += 1;
        }
    }
    assert!(compared >= 50, "only {compared} files were compared");
}
