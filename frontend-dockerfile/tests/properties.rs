// SPDX-License-Identifier: Apache-2.0
//! Parsing and lowering never panic, and every place they name lies inside the text.

mod support;

use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, Report, SourceText,
    expand::{Expander, NoVariables},
    parse,
};
use graph::Frontend;
use graph::pattern::Patterns;
use oci::Platform;
use proptest::prelude::*;

/// Pieces that make instructions of all kinds, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "FROM alpine AS a\n",
        "FROM ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "--mount=type=cache,target=/x ",
        "--mount=",
        "--from=",
        "--chmod=",
        "--",
        "CMD ",
        "[\"a\", \"b\"]",
        "[\"",
        "\\\n",
        "\\",
        "`",
        "\"",
        "'",
        "$",
        "${a:-",
        "}",
        "<<EOF",
        "<<-'E'",
        "\nEOF\n",
        "\nE\n",
        "\n",
        "\r\n",
        "#",
        "# escape=`\n",
        "\t",
        " ",
        "=",
        "a=b",
        "é",
        "\u{feff}",
        "\u{0}",
        "USER ",
        "EXPOSE 1-2 ",
        "WORKDIR /",
        "SHELL ",
        "--interval=1s ",
    ]);
    prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => ".{0,8}"]
}

proptest! {
    #[test]
    fn spans_lie_inside_the_text(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let source = SourceText::new("f", text.clone());
        match parse::parse(&source) {
            Ok(dockerfile) => {
                prop_assert!(!dockerfile.to_text(&source).to_string().is_empty());
                for stage in &dockerfile.stages {
                    for instruction in stage.instructions.iter().chain([&stage.instruction]) {
                        for span in [instruction.span, instruction.keyword.span] {
                            prop_assert!(text.get(span.start..span.end).is_some(), "{span:?}");
                        }
                    }
                }
            }
            Err(problems) => {
                for problem in &problems {
                    prop_assert!(text.get(problem.span.start..problem.span.end).is_some(), "{problem:?}");
                }
                prop_assert!(!Report::new(&source, &problems).to_string().is_empty());
            }
        }
    }

    #[test]
    fn expansion_never_panics(text in "[$ {}a:/#%?*'\"\\\\-]{0,30}") {
        drop(Expander::new('\\').expand(&text, &NoVariables));
    }

    #[test]
    fn ignore_patterns_never_panic(text in "[!*?/a\\[\\]^\\\\.\n -]{0,30}", path in "[a/.]{1,10}") {
        if let Ok(patterns) = Patterns::parse(&text) {
            prop_assert!(patterns.matches(&path).by.is_none_or(|line| line > 0));
            drop(patterns.enter(&patterns.root(), &path));
        }
    }

    #[test]
    fn lowering_never_panics(pieces in prop::collection::vec(piece(), 0..30), explicit in any::<bool>()) {
        let text = format!("FROM alpine AS a\n{}", pieces.concat());
        let mut options = BuildOptions::new(Platform::new("linux", "amd64", None));
        if explicit {
            options.platforms = vec![Platform::new("linux", "arm64", None)];
        }
        let input = BuildInput {
            source: SourceText::new("f", text.clone()),
            dockerignore: None,
            options,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let result = runtime.block_on(DockerfileFrontend.lower(&input, &support::Shelf::new()));
        if let Err(DockerfileError::Invalid(invalid)) = result {
            for problem in &invalid.diagnostics {
                prop_assert!(text.get(problem.span.start..problem.span.end).is_some(), "{problem:?}");
            }
        }
    }
}
