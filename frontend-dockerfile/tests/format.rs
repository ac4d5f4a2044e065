// SPDX-License-Identifier: Apache-2.0
//! Formatting changes what it should, nothing that means something, and nothing twice.

mod dockerfiles;
mod support;

use std::fs;
use std::path::Path;

use frontend_dockerfile::format::format;
use frontend_dockerfile::{BuildInput, BuildOptions, DockerfileFrontend, SourceText, parse};
use graph::Frontend;
use oci::Platform;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::Shelf;

fn formatted(text: &str) -> String {
    let source = SourceText::new("f", text);
    match format(&source) {
        Ok(formatted) => formatted.to_string(),
        Err(problems) => panic!("{text:?}: {problems:?}"),
    }
}

/// Compares, and formats the result again. A case is a rule, a file, and the file in style.
fn check(cases: &[(&str, &str, &str)]) {
    for (rule, text, expected) in cases {
        assert_eq!(formatted(text), *expected, "{rule}");
        assert_eq!(formatted(expected), *expected, "{rule}, again");
    }
}

#[test]
fn lines_and_keywords() {
    check(&[
        (
            "keywords",
            "from  a \t as  b\nrun x\n",
            "FROM a AS b\nRUN x\n",
        ),
        (
            "one blank behind the keyword",
            "FROM   a\nRUN\t x  y\n",
            "FROM a\nRUN x  y\n",
        ),
        (
            "no blanks around",
            "  FROM a  \n\tRUN b \t\n",
            "FROM a\nRUN b\n",
        ),
        (
            "blank lines",
            "\n\nFROM a\n\n\n\nRUN a \\\n\n\n  b\n\n\n",
            "FROM a\n\nRUN a \\\n  b\n",
        ),
        (
            "comments",
            "# a  \n\n\n#b\n  # c\nFROM a\nRUN a \\\n# d  \n   b",
            "# a\n\n#b\n  # c\nFROM a\nRUN a \\\n# d  \n   b\n",
        ),
        (
            "legacy pairs",
            "FROM a\nENV a  b c \nLABEL x $y\nENV k \"v\"\nENV k a\\ b\nENV k a \\\n b\n",
            "FROM a\nENV a=\"b c\"\nLABEL x=\"$y\"\nENV k \"v\"\nENV k a\\ b\nENV k a \\\n b\n",
        ),
        (
            "line ends",
            "from a\r\nRUN b \\ \r\n c\r\n",
            "FROM a\r\nRUN b \\\r\n c\r\n",
        ),
        ("byte order mark", "\u{feff}from a\n", "\u{feff}FROM a\n"),
    ]);
}

#[test]
fn continuations() {
    check(&[
        (
            "words are indented",
            "FROM a\nCOPY a \\\nb\\\n\t c  \\\n          /d/\n",
            "FROM a\nCOPY a \\\n    b\\\n    c  \\\n    /d/\n",
        ),
        (
            "pairs are indented, quoted blanks stay",
            "FROM a\nENV a=1 \\\n  b=\"x \\\n  y\" \\\n\tc=2\n",
            "FROM a\nENV a=1 \\\n    b=\"x \\\n  y\" \\\n    c=2\n",
        ),
        (
            "JSON is indented",
            "FROM a\nCMD [ \\\n\"a\", \\\n \"b \\\n c\" \\\n]\n",
            "FROM a\nCMD [ \\\n    \"a\", \\\n    \"b \\\n c\" \\\n    ]\n",
        ),
        (
            "flags are indented, a command is as it is written",
            "FROM a\nRUN --network=none \\\n --mount=target=/x \\\n  a \\\n && b \\  \n   && c\n",
            "FROM a\nRUN --network=none \\\n    --mount=target=/x \\\n    a \\\n && b \\\n   && c\n",
        ),
        (
            "a cut word stays cut",
            "FROM a\nCOPY a\\\nb c\n",
            "FROM a\nCOPY a\\\nb c\n",
        ),
        (
            "escape character",
            "# escape=`\nfrom a\nCOPY a `\nb\n",
            "# escape=`\nFROM a\nCOPY a `\n    b\n",
        ),
    ]);
}

#[test]
fn what_must_not_change() {
    check(&[
        (
            "heredocs",
            "FROM a\ncopy  <<A  <<-B  /x  \n x  \n\n\nA\n\tB\nrun <<A\n run  b  \nA",
            "FROM a\nCOPY <<A  <<-B  /x\n x  \n\n\nA\n\tB\nRUN <<A\n run  b  \nA\n",
        ),
        (
            "what an image stores",
            "FROM a\nonbuild  run  x  \n",
            "FROM a\nONBUILD run  x  \n",
        ),
        (
            "no new directive",
            "\n\n# escape=`\nFROM a\n",
            "\n# escape=`\nFROM a\n",
        ),
        (
            "keyword in two lines",
            "FR\\\nOM a\nrun b\n",
            "FR\\\nOM a\nRUN b\n",
        ),
        (
            "no new continuation",
            "FROM a\nrun b \\\u{b}\n",
            "FROM a\nrun b \\\u{b}\n",
        ),
    ]);
}

#[test]
fn a_file_that_cannot_be_parsed_is_not_formatted() {
    assert!(format(&SourceText::new("f", "FROM a\nRUNN b\n")).is_err());
}

#[test]
fn the_diff_has_the_lines_that_change() {
    let diff = |text: &str| format(&SourceText::new("f", text)).unwrap().diff();
    assert_eq!(
        diff("FROM a\n\n\n# c\nrun b\nCOPY a \\\nb\\\n c\nCMD x"),
        "@@ -3,1 +2,0 @@\n-\n@@ -5,1 +4,1 @@\n-run b\n+RUN b\n\
         @@ -7,2 +6,2 @@\n-b\\\n- c\n+    b\\\n+    c\n\
         @@ -9,1 +8,1 @@\n-CMD x\n\\ No newline at end of file\n+CMD x\n"
    );
    assert_eq!(diff("FROM a\n"), "");
}

/// Returns the plan without what only people see: titles and places. Nothing if there is none.
fn plan(text: &str) -> Option<String> {
    let input = BuildInput {
        source: SourceText::new("f", text),
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let plan = runtime
        .block_on(DockerfileFrontend.lower(&input, &Shelf::new()))
        .ok()?;
    let vertices = plan.graph.iter().map(|(id, vertex)| {
        format!(
            "{id:?} {:?} {:?} {:?}",
            vertex.op, vertex.inputs, vertex.platform
        )
    });
    let targets = plan.targets.iter().map(|target| format!("{target:?}"));
    Some(vertices.chain(targets).collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_corpus_means_the_same_afterwards() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut changed = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is there") {
        let path = entry.expect("readable").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "dockerfile")
        {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let after = formatted(&text);
        changed += usize::from(after != text);
        assert_eq!(plan(&after), plan(&text), "{}", path.display());
        assert_eq!(formatted(&after), after, "{}", path.display());
    }
    assert!(changed >= 2, "only {changed} files were not in style");
}

#[test]
fn most_random_files_can_be_built() {
    let mut runner = TestRunner::deterministic();
    let mut lowered = 0;
    for _ in 0..200 {
        let file = dockerfiles::dockerfile().new_tree(&mut runner);
        lowered += usize::from(plan(&file.expect("a file").current()).is_some());
    }
    assert!(lowered > 60, "only {lowered} of 200");
}

proptest! {
    #[test]
    fn any_file_means_the_same_afterwards(text in dockerfiles::dockerfile()) {
        let source = SourceText::new("f", text.clone());
        let Ok(result) = format(&source) else {
            prop_assert!(parse::parse(&source).is_err());
            return Ok(());
        };
        let after = result.to_string();
        prop_assert_eq!(result.is_changed(), after != text);
        prop_assert_eq!(formatted(&after), after.clone(), "again");
        prop_assert_eq!(plan(&after), plan(&text));
    }
}
