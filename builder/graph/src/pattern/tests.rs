// SPDX-License-Identifier: Apache-2.0
//! The rules of `.dockerignore`, and that a walk agrees with single questions.

use super::*;

const TREE: &[&str] = &[
    "Dockerfile",
    "README.md",
    "a",
    "a/b",
    "a/b/c.txt",
    "a/b/keep.txt",
    "docs",
    "docs/README.md",
    "docs/x.md",
    "src",
    "src/main.rs",
    "src/main_test.rs",
];

/// Returns what is left, found by a walk that enters only what it must.
fn walk(patterns: &Patterns) -> Vec<&'static str> {
    let mut left = Vec::new();
    let mut states = vec![(String::new(), patterns.root())];
    while let Some((dir, state)) = states.pop() {
        for path in TREE
            .iter()
            .filter(|path| path.rsplit_once('/').map_or("", |(dir, _)| dir) == dir)
        {
            let entry = patterns.enter(&state, path);
            if !entry.decision.excluded {
                left.push(*path);
            }
            if entry.descend {
                states.push(((*path).to_owned(), entry.directory));
            }
        }
    }
    left.sort_unstable();
    left
}

#[test]
fn ignore_row_match_and_walk() {
    for (rule, text, left) in [
        ("nothing matches", "nothing\n", TREE.to_vec()),
        (
            "a directory takes its content along",
            "a\n",
            vec![
                "Dockerfile",
                "README.md",
                "docs",
                "docs/README.md",
                "docs/x.md",
                "src",
                "src/main.rs",
                "src/main_test.rs",
            ],
        ),
        (
            "the last match decides",
            "*.md\n!README.md\n",
            vec![
                "Dockerfile",
                "README.md",
                "a",
                "a/b",
                "a/b/c.txt",
                "a/b/keep.txt",
                "docs",
                "docs/README.md",
                "docs/x.md",
                "src",
                "src/main.rs",
                "src/main_test.rs",
            ],
        ),
        (
            "two stars cross directories",
            "**/*.md\n!docs/README.md\n",
            vec![
                "Dockerfile",
                "a",
                "a/b",
                "a/b/c.txt",
                "a/b/keep.txt",
                "docs",
                "docs/README.md",
                "src",
                "src/main.rs",
                "src/main_test.rs",
            ],
        ),
        (
            "an excluded directory is entered for a negation",
            "*\n!a/b/keep.txt\n",
            vec!["a/b/keep.txt"],
        ),
        (
            "a negation takes its content along",
            "*\n!docs\n",
            vec!["docs", "docs/README.md", "docs/x.md"],
        ),
        (
            "a later pattern excludes again",
            "*\n!docs\ndocs/x.md\n",
            vec!["docs", "docs/README.md"],
        ),
        (
            "comments and blanks",
            "# a\n\n  src  \n #x\n",
            vec![
                "Dockerfile",
                "README.md",
                "a",
                "a/b",
                "a/b/c.txt",
                "a/b/keep.txt",
                "docs",
                "docs/README.md",
                "docs/x.md",
            ],
        ),
        (
            "leading slash and cleaning",
            "/a/../src/\n\u{feff}\n",
            vec![
                "Dockerfile",
                "README.md",
                "a",
                "a/b",
                "a/b/c.txt",
                "a/b/keep.txt",
                "docs",
                "docs/README.md",
                "docs/x.md",
            ],
        ),
        (
            "byte order mark",
            "\u{feff}*\n! src \n",
            vec!["src", "src/main.rs", "src/main_test.rs"],
        ),
        ("everything", "**\n", vec![]),
    ] {
        let patterns = Patterns::parse(text).unwrap();
        let single: Vec<&str> = TREE
            .iter()
            .copied()
            .filter(|path| !patterns.matches(path).excluded)
            .collect();
        assert_eq!(single, left, "{rule}");
        assert_eq!(walk(&patterns), left, "{rule}, walked");
    }
}

#[test]
fn the_deciding_line_is_named() {
    let patterns = Patterns::parse("# first\n*.md\n!README.md\n").unwrap();
    for (path, excluded, by) in [
        ("x.md", true, Some(2)),
        ("README.md", false, Some(3)),
        ("a", false, None),
    ] {
        assert_eq!(patterns.matches(path), Decision { excluded, by }, "{path}");
    }
}

#[test]
fn ignore_row_an_excluded_directory_is_not_entered_without_need() {
    let patterns = Patterns::parse("node_modules\n!src/x\n").unwrap();
    assert!(!patterns.enter(&patterns.root(), "node_modules").descend);
    let patterns = Patterns::parse("!src/x\nsrc\n").unwrap();
    assert!(!patterns.enter(&patterns.root(), "src").descend);
}

#[test]
fn ignore_row_lines_that_cannot_be_used() {
    for lone in ["a\n!\n", "a\n ! \n", "a\n!/\n"] {
        assert_eq!(
            Patterns::parse(lone),
            Err(ParsePatternError::LoneNegation { line: 2 }),
            "{lone:?}"
        );
    }
    let error = Patterns::parse("[a\n").unwrap_err();
    assert_eq!(error.to_string(), "line 1: `[a` is not a valid pattern");
}

#[test]
fn lists_keep_their_order_and_signs() {
    let patterns = Patterns::from_list(["./a/", "!b", ""]).unwrap();
    assert_eq!(patterns.to_list(), ["./a/", "!b"]);
    // Observed: what BuildKit hands on of a file is cleaned.
    let patterns = Patterns::parse("/./a//b/\n! /c\n#x\n / d\n..\n").unwrap();
    assert_eq!(patterns.to_list(), ["a/b", "!c", " d", ".."]);
    assert!(patterns.matches("d").excluded);
}

#[test]
fn ignore_row_a_walk_forgets_negations_that_came_too_early() {
    // Observed: moby/patternmatcher 0.6.1 does not note that `!docs` matches the directory, because
    // nothing excludes the directory, so the file in it stays excluded in a walk.
    let patterns = Patterns::parse("**/*.md\n!docs\n").unwrap();
    assert!(patterns.look("docs/x.md").decision.excluded);
    assert!(!patterns.matches("docs/x.md").excluded);
}
