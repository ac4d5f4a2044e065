// SPDX-License-Identifier: Apache-2.0
//! Names, indexes, reachability and circles.

use oci::Platform;

use super::*;
use crate::parse::parse;
use crate::scope;
use crate::span::SourceText;

fn graph(text: &str) -> (StageGraph, Vec<Diagnostic>) {
    let dockerfile = parse(&SourceText::new("f", text)).unwrap();
    let platform = Platform::new("linux", "amd64", None);
    let options = BuildOptions::new(platform.clone());
    let mut problems = Vec::new();
    let scope = scope::global(&dockerfile, &options, &platform, &mut problems);
    let graph = build(
        &dockerfile,
        &options,
        &scope,
        &Platform::host(),
        &mut problems,
    );
    assert_eq!(problems, [], "{text}");
    let target = graph.target(None).unwrap();
    let problems = graph.check(target);
    (graph, problems)
}

#[test]
fn bases_match_by_raw_text_and_later_lookups_ignore_case() {
    // Rule 14: `FROM Build` is an image, `--from=BUILD` is the stage.
    let (graph, _) = graph("FROM a AS Build\nFROM build\nFROM Build\nCOPY --from=BUILD x y\n");
    assert_eq!(graph.stages[1].base, Base::Stage(0));
    assert_eq!(graph.stages[2].base, Base::External("Build".to_owned()));
    assert_eq!(graph.stages[2].steps[0].origins, [Some(Origin::Stage(0))]);
}

#[test]
fn a_reused_name_is_its_last_definition() {
    // Rule 28 and its correction: the earlier reference then points below itself.
    let (graph, problems) =
        graph("FROM a AS x\nFROM x AS y\nCOPY --from=x a b\nFROM z AS x\nFROM y\n");
    assert_eq!(graph.stages[1].base, Base::Stage(0));
    assert_eq!(graph.stages[1].steps[0].origins, [Some(Origin::Stage(2))]);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].message,
        "stage `x` is defined below stage `y`, which reads from it"
    );
}

#[test]
fn stages_that_nobody_needs_are_not_reached() {
    // Rule 29.
    let (graph, problems) =
        graph("FROM a AS x\nFROM b AS y\nCOPY --from=z q r\nFROM x AS z\nCOPY --from=img a b\n");
    assert_eq!(graph.reachable(2), [true, false, true]);
    assert_eq!(
        problems,
        [],
        "a forward reference in a stage that is not needed is harmless"
    );
    assert_eq!(graph.reached_externals(&graph.reachable(2)).len(), 1);
}

#[test]
fn digits_are_an_index_only_for_copy() {
    // Rule 15.
    let (graph, _) =
        graph("FROM a\nFROM b\nCOPY --from=0 x y\nRUN --mount=from=0,target=/m true\n");
    assert_eq!(graph.stages[1].steps[0].origins, [Some(Origin::Stage(0))]);
    assert_eq!(
        graph.stages[1].steps[1].origins,
        [Some(Origin::External(0))]
    );
}

#[test]
fn targets_are_names_only() {
    let (graph, _) = graph("FROM a AS build\nFROM b AS test\n");
    assert_eq!(graph.target(Some("BUILD")), Ok(0));
    let listed = "stages with a name: build, test";
    assert_eq!(graph.target(Some("0")), Err(Some(listed.to_owned())));
    assert_eq!(
        graph.target(Some("tset")),
        Err(Some("did you mean `test`?".to_owned()))
    );
}

#[test]
fn circles_are_found_even_where_nobody_looks() {
    // A base counts as being above: BuildKit finds no circle in it.
    let (_, problems) = graph("FROM a AS x\nCOPY --from=y a b\nFROM x AS y\nFROM scratch\n");
    assert_eq!(problems, []);
    let text = "FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nCOPY --from=x a b\nFROM scratch\n";
    let (_, problems) = graph(text);
    assert_eq!(
        problems[0].message,
        "circular dependency: stage `x` needs `y`, which needs `x`"
    );
}
