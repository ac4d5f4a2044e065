// SPDX-License-Identifier: Apache-2.0
//! Any text as a Dockerfile: read, shown, lowered and formatted without a panic; every place that is
//! named lies inside the text; the format is stable.

#![no_main]

use frontend_dockerfile::format::format;
use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, Report, SourceText,
    detect_syntax, parse,
};
use graph::{Frontend, ImageResolver, ResolveError, ResolveMode, ResolvedImage};
use libfuzzer_sys::fuzz_target;
use oci::{ImageConfig, Platform, Reference};

/// Has every image: all are alike.
struct Everything;

impl ImageResolver for Everything {
    async fn resolve(
        &self,
        reference: &Reference,
        _platform: &Platform,
        _mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        let config = br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"OnBuild":["RUN x"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        Ok(ResolvedImage {
            digest: oci::sha256(reference.to_string().as_bytes()),
            config: ImageConfig::parse(config).expect("a config of this file"),
        })
    }
}

fn check_place(text: &str, start: usize, end: usize) {
    assert!(text.get(start..end).is_some(), "{start}..{end}");
}

fuzz_target!(|text: &str| {
    let source = SourceText::new("f", text);
    drop(detect_syntax(text));
    match parse::parse(&source) {
        Err(problems) => {
            for problem in &problems {
                check_place(text, problem.span.start, problem.span.end);
            }
            assert!(!Report::new(&source, &problems).to_string().is_empty());
            assert!(format(&source).is_err());
            return;
        }
        Ok(dockerfile) => {
            drop(dockerfile.to_text(&source).to_string());
            for stage in &dockerfile.stages {
                for instruction in stage.instructions.iter().chain([&stage.instruction]) {
                    check_place(text, instruction.span.start, instruction.span.end);
                }
            }
        }
    }
    let formatted = format(&source).expect("it can be parsed");
    let once = formatted.to_string();
    assert_eq!(formatted.is_changed(), once != text);
    let twice = format(&SourceText::new("f", once.as_str())).expect("it means the same");
    assert_eq!(twice.to_string(), once);
    lower(source);
});

fn lower(source: SourceText) {
    let text = source.text().to_owned();
    let input = BuildInput {
        source,
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(DockerfileFrontend.lower(&input, &Everything));
    if let Err(DockerfileError::Invalid(invalid)) = result {
        for problem in &invalid.diagnostics {
            check_place(&text, problem.span.start, problem.span.end);
        }
    }
}
