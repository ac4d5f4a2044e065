// SPDX-License-Identifier: Apache-2.0
//! The warnings.

use std::fmt::Write as _;

use frontend_dockerfile::lint::{BaseImages, Lint, Scope, lint};
use frontend_dockerfile::outline::outline;
use frontend_dockerfile::{BuildInput, SourceText};
use oci::Platform;
use proptest::prelude::*;

use crate::case::{Shelf, cases, options};

const FILES: [&str; 7] = [
    "names",
    "from",
    "variables",
    "instructions",
    "ignored",
    "contexts",
    "mixed",
];

fn shown(found: &Lint) -> Vec<String> {
    let mut lines: Vec<String> = found
        .warnings
        .iter()
        .map(|warning| {
            let (first, last) = (warning.lines.first, warning.lines.last);
            let place = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            format!("{place} {}: {}", warning.rule.name, warning.message)
        })
        .collect();
    if found.error.is_some() {
        lines.push("error".to_owned());
    }
    lines
}

#[tokio::test]
async fn warnings_are_those_of_buildkit() {
    let mut wrong = String::new();
    let mut count = 0;
    for file in FILES {
        for case in cases(file) {
            let found = lint(&case.input, Scope::Check, BaseImages::Required, &Shelf).await;
            let shown = shown(&found);
            count += 1;
            if shown != case.expected {
                let text = case.input.source.text();
                writeln!(wrong, "\n==== {}\n{text}>>>>", case.name).ok();
                writeln!(
                    wrong,
                    "ours:     {shown:#?}\nBuildKit: {:#?}",
                    case.expected
                )
                .ok();
                writeln!(wrong, "{:?}", found.error).ok();
            }
        }
    }
    assert!(count > 200, "only {count} cases");
    assert!(wrong.is_empty(), "{wrong}");
}

/// What nobody knows is not guessed: rules about variables keep quiet on unknown bases only.
#[tokio::test]
async fn unknown_base_images_hide_what_needs_them() {
    let text = "FROM nowhere AS a\nCOPY $x /\nCMD y\nFROM scratch\nCOPY $x /\n";
    let input = BuildInput {
        source: SourceText::new("Dockerfile", text),
        dockerignore: None,
        options: options(),
    };
    for policy in [BaseImages::IfFound, BaseImages::Unknown] {
        let found = lint(&input, Scope::Check, policy, &Shelf).await;
        let lines = shown(&found);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("3 JSONArgsRecommended"), "{lines:?}");
        assert!(lines[1].starts_with("5 UndefinedVar"), "{lines:?}");
    }
    let found = lint(&input, Scope::Check, BaseImages::Required, &Shelf).await;
    assert_eq!(shown(&found), ["error"]);
}

#[tokio::test]
async fn a_build_warns_about_the_stages_that_it_needs() {
    let text = "FROM busybox AS a\nCMD x\nFROM busybox AS b\nCMD y\n";
    let mut options = options();
    options.platforms = vec![Platform::new("linux", "arm64", None)];
    let input = BuildInput {
        source: SourceText::new("Dockerfile", text),
        dockerignore: None,
        options,
    };
    let found = lint(&input, Scope::Build, BaseImages::Required, &Shelf).await;
    let lines = shown(&found);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("3 InvalidBaseImagePlatform"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("4 JSONArgsRecommended"), "{lines:?}");
}

proptest! {
    /// Whatever is in a file: an answer, and places that lie in it.
    #[test]
    fn rules_never_panic(lines in prop::collection::vec(line(), 0..20)) {
        let text = lines.concat();
        let source = SourceText::new("f", text.clone());
        let input = BuildInput {
            source,
            dockerignore: Some(SourceText::new(".dockerignore", "*.md\n")),
            options: options(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for scope in [Scope::Check, Scope::Build] {
            let found = runtime.block_on(lint(&input, scope, BaseImages::IfFound, &Shelf));
            for warning in &found.warnings {
                prop_assert!(text.get(warning.span.start..warning.span.end).is_some());
                prop_assert!(warning.lines.first >= 1 && warning.lines.last >= warning.lines.first);
            }
        }
        runtime.block_on(outline(&input, &Shelf)).ok();
    }
}

fn line() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "# check=skip=all\n",
        "# check=experimental=all\n",
        "# a text\n",
        "#\n",
        "\n",
        "ARG a=$b\n",
        "arg password é=${a%x}\n",
        "FROM busybox AS a\n",
        "FROM lint-env as B\n",
        "FROM --platform=$TARGETPLATFORM a\n",
        "FROM ${nothing}\n",
        "FROM --platform=linux/arm64 lint-arm64 AS scratch\n",
        "ENV a b\n",
        "ENV é=$ü PATH=$PAHT\n",
        "COPY <<E $x/\n$y\nE\n",
        "COPY --from=a x.md /\n",
        "ADD x.md \\\n\n  /\n",
        "RUN --mount=type=secret,id=$s --mount=type=ssh \\\n x\n",
        "ONBUILD COPY $t /\n",
        "ONBUILD CMD x\n",
        "EXPOSE 80/TCP 1:2 $p\n",
        "WORKDIR a\n",
        "cmd x\n",
        "HEALTHCHECK NONE\n",
        "MAINTAINER x\n",
        "RUNN\n",
        "COPY ${\n",
    ])
    .prop_map(str::to_owned)
}
