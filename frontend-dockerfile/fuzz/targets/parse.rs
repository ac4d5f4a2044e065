// SPDX-License-Identifier: Apache-2.0
//! Any text as a Dockerfile: read, shown, checked, lowered and formatted without a panic; every place
//! that is named lies inside the text; the format is stable.

#![no_main]

use frontend_dockerfile::format::format;
use frontend_dockerfile::lint::{BaseImages, Scope, lint};
use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, Report, SourceText,
    detect_syntax, parse,
};
use graph::{
    Frontend, ImageResolver, ResolveError, ResolveMode, ResolvedImage, SourceOp, SourceTimeError,
    SourceTimes,
};
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

    async fn resolve_layout(
        &self,
        _store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedImage, ResolveError> {
        self.resolve(reference, platform, ResolveMode::Local).await
    }
}

impl SourceTimes for Everything {
    async fn time(&self, _source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        Ok(Some(1))
    }
}

fn check_place(text: &str, start: usize, end: usize) {
    assert!(text.get(start..end).is_some(), "{start}..{end}");
}

fuzz_target!(|text: &str| {
    let source = SourceText::new("f", text);
    drop(detect_syntax(text));
    let input = input(&source);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let lint = lint(&input, Scope::Check, BaseImages::Required, &Everything);
    let lines = text.lines().count().max(1);
    for warning in runtime.block_on(lint).warnings {
        assert!(warning.lines.first <= warning.lines.last);
        assert!(warning.lines.last <= lines, "{}", warning.lines.last);
    }
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
    lower(&input, &runtime);
});

fn input(source: &SourceText) -> BuildInput {
    BuildInput {
        source: source.clone(),
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    }
}

fn lower(input: &BuildInput, runtime: &tokio::runtime::Runtime) {
    let result = runtime.block_on(DockerfileFrontend.lower(input, &Everything));
    if let Err(DockerfileError::Invalid(invalid)) = result {
        for problem in &invalid.diagnostics {
            check_place(input.source.text(), problem.span.start, problem.span.end);
        }
    }
}
