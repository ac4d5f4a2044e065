// SPDX-License-Identifier: Apache-2.0
//! Recorded questions and answers.

use std::fs;
use std::path::{Path, PathBuf};

use frontend_dockerfile::{BuildInput, BuildOptions, NamedContext, SourceText};
use graph::{
    ImageResolver, ResolveError, ResolveMode, ResolvedImage, SourceOp, SourceTimeError, SourceTimes,
};
use oci::{Digest, History, ImageConfig, Platform, Reference};

/// The images that the cases are built on.
pub(crate) struct Shelf;

impl Shelf {
    fn config(name: &str) -> Option<ImageConfig> {
        let mut image = ImageConfig {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            history: vec![History::default()],
            ..ImageConfig::default()
        };
        match name {
            "busybox:latest" => {}
            "lint-arm64:latest" | "arm64-only:latest" => {
                "arm64".clone_into(&mut image.architecture);
            }
            "lint-env:latest" => {
                image.config.env = vec!["PATH=/bin".to_owned(), "BASE_VAR=1".to_owned()];
                image.config.shell = vec!["/bin/sh".to_owned(), "-ec".to_owned()];
                image.config.on_build =
                    vec!["COPY $TRIGGER_VAR /x".to_owned(), "WORKDIR rel".to_owned()];
                "/w".clone_into(&mut image.config.working_dir);
            }
            _ => return None,
        }
        Some(image)
    }
}

impl ImageResolver for Shelf {
    async fn resolve(
        &self,
        reference: &Reference,
        _platform: &Platform,
        _mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        let digest = format!("sha256:{}", "0".repeat(64));
        match Self::config(&reference.familiar()) {
            Some(config) => Ok(ResolvedImage {
                digest: digest.parse::<Digest>().expect("it is a digest"),
                config,
            }),
            None => Err(ResolveError::NotFound {
                reference: reference.clone(),
                source: None,
            }),
        }
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

impl SourceTimes for Shelf {
    async fn time(&self, _source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        Ok(None)
    }
}

/// One recorded question.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) input: BuildInput,
    pub(crate) expected: Vec<String>,
}

/// Returns the options of a build on the machine that answered.
pub(crate) fn options() -> BuildOptions {
    BuildOptions::new(Platform::new("linux", "amd64", None))
}

/// Returns the cases of one file.
pub(crate) fn cases(name: &str) -> Vec<Case> {
    let text = fs::read_to_string(folder().join(name).with_extension("cases"))
        .expect("the cases are there");
    let cases = text.split("\n==== ").skip(1);
    cases.map(case).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn case(text: &str) -> Case {
    let (name, rest) = text.split_once('\n').expect("a name");
    let (question, expected) = rest.split_once(">>>>\n").expect("an answer");
    let mut options = options();
    let mut dockerignore = None;
    let mut dockerfile = String::new();
    for line in question.split_inclusive('\n') {
        let Some(option) = line.strip_prefix("---- ") else {
            dockerfile.push_str(line);
            continue;
        };
        let (key, value) = option.trim_end().split_once('=').expect("key=value");
        match key {
            "target" => options.target = Some(value.to_owned()),
            "platform" => options.platforms.push(value.parse().expect("a platform")),
            "build-arg" => {
                let (name, value) = value.split_once('=').expect("name=value");
                options.build_args.insert(name.to_owned(), value.to_owned());
            }
            "ignore" => {
                let text = value.replace('|', "\n") + "\n";
                dockerignore = Some(SourceText::new(".dockerignore", text));
            }
            context if context.starts_with("context:") => {
                let name = context.trim_start_matches("context:");
                let local = NamedContext::Local {
                    name: name.to_owned(),
                    ignore: None,
                };
                let context = NamedContext::remote(value).unwrap_or(local);
                options.contexts.insert(name.to_owned(), context);
            }
            other => panic!("{name}: no option {other}"),
        }
    }
    let dockerfile = dockerfile.replace('␍', "\r").replace('␟', "\u{feff}");
    Case {
        name: name.to_owned(),
        input: BuildInput {
            source: SourceText::new("Dockerfile", dockerfile),
            dockerignore,
            options,
        },
        expected: expected
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
    }
}
