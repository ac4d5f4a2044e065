// SPDX-License-Identifier: Apache-2.0
//! What users read when something fails.

use std::sync::Arc;

use graph::{SourceFile, SourceRange};

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot push app")]
struct Outer(#[source] Middle);

#[derive(Debug, thiserror::Error)]
#[error("DENIED: no access")]
struct Middle(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("no access")]
struct Inner;

#[test]
fn a_chain_is_printed_once_with_hints_last() {
    let failure = Failure::from_error(Exit::Network, &Outer(Middle(Inner))).hint("sign in");
    assert_eq!(
        failure.render(false),
        "error: cannot push app\n  cause: DENIED: no access\n   hint: sign in\n"
    );
    assert_eq!(failure.exit().code(), 4);
}

#[test]
fn control_characters_in_names_are_not_printed() {
    let failure = Failure::new(Exit::Failed, "no image `\x1b]0;x\x07`");
    assert_eq!(
        failure.render(false),
        "error: no image `\u{fffd}]0;x\u{fffd}`\n"
    );
}

#[test]
fn exit_codes_are_those_of_the_table() {
    for (exit, code) in [
        (Exit::Failed, 1),
        (Exit::Usage, 2),
        (Exit::Input, 3),
        (Exit::Network, 4),
        (Exit::Store, 5),
        (Exit::Bug, 70),
        (Exit::Signal(2), 130),
        (Exit::Program(7), 7),
    ] {
        assert_eq!(exit.code(), code, "{exit:?}");
    }
}

fn range(text: &str, start_line: u32, end_line: u32) -> SourceRange {
    SourceRange {
        file: Arc::new(SourceFile {
            name: "Dockerfile".into(),
            text: text.into(),
        }),
        start_line,
        end_line,
    }
}

#[test]
fn the_failing_lines_are_marked() {
    let text = "FROM a\n\nRUN x && \\\n  y\nRUN z\nRUN w\nRUN v\n";
    assert_eq!(
        step::excerpt(&range(text, 3, 4)),
        "Dockerfile:3
--------------------
   1 |     FROM a
   2 |
   3 | >>> RUN x && \\
   4 | >>>   y
   5 |     RUN z
   6 |     RUN w
--------------------
"
    );
}

#[test]
fn an_excerpt_never_leaves_the_text() {
    for (start, end) in [(0, 0), (9, 12), (2, 1), (1, u32::MAX)] {
        assert!(step::excerpt(&range("FROM a\n", start, end)).ends_with("-\n"));
    }
    assert!(step::excerpt(&range("", 1, 1)).starts_with("Dockerfile:1\n"));
    let long = "RUN x \\\n".repeat(100);
    assert!(step::excerpt(&range(&long, 1, 100)).contains("[… 70 more lines]"));
}

#[test]
fn the_last_output_comes_with_the_name() {
    let lines = ["0.1 a".to_owned(), "0.2 b".to_owned()];
    assert_eq!(
        step::output("[2/3] RUN x", &lines, 5),
        "------\n > [2/3] RUN x:\n[… 5 lines before]\n0.1 a\n0.2 b\n------\n"
    );
    assert_eq!(step::output("x", &[], 0), "");
}
