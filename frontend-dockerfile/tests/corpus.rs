// SPDX-License-Identifier: Apache-2.0
//! Golden files: `corpus/NAME.dockerfile` with the text of joint 1 (`.ast`) and joint 2 (`.graph`),
//! `errors/NAME.dockerfile` with the full report (`.txt`).
//!
//! Lines `#! key value` in front of the first instruction set options: they are comments.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, MainContext, NamedContext,
    NoCache, SourceText, parse,
};
use graph::{Frontend, Plan};
use oci::Platform;
use support::Shelf;

/// Set to rewrite golden files with what the code says now.
pub(crate) const BLESS: &str = "KILN_BLESS";

fn files(folder: &str) -> Vec<PathBuf> {
    fn path(entry: std::io::Result<fs::DirEntry>) -> PathBuf {
        entry.expect("the corpus is readable").path()
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the corpus is there")
        .map(path)
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "dockerfile")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", "the corpus is there");
    files
}

/// What the command line makes of `--build-context`.
fn named(name: &str, value: &str) -> NamedContext {
    if let Some(store) = value.strip_prefix("oci-layout://") {
        return NamedContext::OciLayout {
            store: store.to_owned(),
            digest: oci::sha256(store.as_bytes()),
        };
    }
    NamedContext::remote(value).unwrap_or_else(|| NamedContext::Local {
        name: name.to_owned(),
        ignore: (value == "ignoring").then(|| SourceText::new(".dockerignore", "h\n!i\n")),
    })
}

fn options(text: &str) -> (BuildOptions, Option<String>) {
    let mut options = BuildOptions::new(Platform::new("linux", "amd64", None));
    let mut ignore = None;
    for line in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let (name, rest) = value.split_once('=').unwrap_or((value, ""));
        match key {
            "target" => options.target = Some(value.to_owned()),
            "build-arg" => drop(options.build_args.insert(name.to_owned(), rest.to_owned())),
            "label" => drop(options.labels.insert(name.to_owned(), rest.to_owned())),
            "context" => {
                let key = frontend_dockerfile::context_name(name).expect("a name of a context");
                drop(options.contexts.insert(key, named(name, rest)));
            }
            "main" => {
                options.context = MainContext::remote(name).expect("a remote context");
                if let MainContext::Http { is_archive, .. } = &mut options.context {
                    *is_archive = rest == "archive";
                }
            }
            "subdir" => value.clone_into(&mut options.context_subdir),
            "platform" => options.platforms.push(value.parse().expect("a platform")),
            "no-cache" => options.no_cache = NoCache::All,
            "no-cache-filter" => options.no_cache = NoCache::Stages(vec![value.to_owned()]),
            "ignore" => ignore = Some(format!("{}{value}\n", ignore.unwrap_or_default())),
            other => panic!("unknown option {other}"),
        }
    }
    (options, ignore)
}

fn lower(source: &SourceText) -> Result<Plan, DockerfileError> {
    let (options, ignore) = options(source.text());
    let input = BuildInput {
        source: source.clone(),
        dockerignore: ignore.map(|text| SourceText::new(".dockerignore", text)),
        options,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(DockerfileFrontend.lower(&input, &Shelf::new()))
}

fn read(path: &Path) -> SourceText {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a plain name");
    SourceText::from_bytes(name, fs::read(path).expect("readable")).expect("text")
}

#[test]
fn corpus_parses_and_lowers_as_recorded() {
    for path in files("corpus") {
        let source = read(&path);
        let dockerfile = parse::parse(&source)
            .unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
        golden(
            &path.with_extension("ast"),
            &dockerfile.to_text(&source).to_string(),
        );
        let plan =
            lower(&source).unwrap_or_else(|error| panic!("{}: {}", path.display(), shown(&error)));
        golden(&path.with_extension("graph"), &plan.to_string());
    }
}

fn shown(error: &DockerfileError) -> String {
    use std::error::Error as _;
    match error {
        DockerfileError::Invalid(invalid) => invalid.report(),
        DockerfileError::UnknownTarget {
            hint: Some(hint), ..
        } => format!("error: {error}\n hint: {hint}\n"),
        DockerfileError::Ignore {
            excerpt, source, ..
        } => {
            format!("{excerpt}error: {error}\ncause: {source}\n")
        }
        DockerfileError::BaseImage {
            excerpt,
            hint,
            source,
            ..
        } => {
            let hint = hint.as_ref().map(|hint| format!(" hint: {hint}\n"));
            let hint = hint.unwrap_or_default();
            format!("{excerpt}error: {error}\ncause: {source}\n{hint}")
        }
        other => match other.source() {
            Some(cause) => format!("error: {other}\ncause: {cause}\n"),
            None => format!("error: {other}\n"),
        },
    }
}

#[test]
fn errors_are_reported_in_full() {
    for path in files("errors") {
        let source = read(&path);
        let error = lower(&source)
            .err()
            .unwrap_or_else(|| panic!("{} is accepted", path.display()));
        golden(&path.with_extension("txt"), &shown(&error));
    }
}

#[test]
fn the_second_opinion_agrees_on_what_it_accepts() {
    let mut accepted = 0;
    for path in files("corpus") {
        let source = read(&path);
        let Ok(theirs) = dockerfile_parser::Dockerfile::parse(source.text()) else {
            continue;
        };
        accepted += 1;
        let ours = parse::parse(&source).unwrap();
        let instructions: usize = ours
            .stages
            .iter()
            .map(|stage| 1 + stage.instructions.len())
            .sum();
        let count = ours.global_args.len() + instructions;
        assert_eq!(theirs.instructions.len(), count, "{}", path.display());
        let names: Vec<String> = theirs
            .iter_stages()
            .filter_map(|stage| stage.name)
            .collect();
        let ours: Vec<String> = ours
            .stages
            .iter()
            .filter_map(|stage| stage.from.name.clone())
            .map(|w| w.text)
            .collect();
        assert_eq!(names, ours, "{}", path.display());
    }
    assert!(accepted >= 3, "only {accepted} files were compared");
}

#[test]
fn lowering_twice_gives_the_same_plan() {
    for path in files("corpus") {
        let source = read(&path);
        assert_eq!(
            lower(&source).unwrap().to_string(),
            lower(&source).unwrap().to_string()
        );
    }
}

/// Compares with a golden file, or writes it.
pub(crate) fn golden(path: &Path, found: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the switch of a test, read nowhere else"
    )]
    let bless = std::env::var_os(BLESS).is_some();
    if bless {
        fs::write(path, found).expect("the corpus is writable");
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == found,
        "{} differs; set {BLESS}=1 to accept.\n--- expected\n{expected}\n--- found\n{found}",
        path.display()
    );
}

#[test]
fn files_and_lines_that_are_too_long_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let long = "a".repeat(frontend_dockerfile::LINE_BYTES_MAX);
    for (name, text) in [
        (
            "too-long-line",
            format!("FROM alpine\nRUN {long}\nRUNN x\n"),
        ),
        ("too-long-comment", format!("FROM alpine\n#{long}\n")),
        (
            "too-large",
            "#\n".repeat(frontend_dockerfile::FILE_BYTES_MAX / 2 + 1),
        ),
        (
            "too-many-stages",
            "FROM scratch\n".repeat(frontend_dockerfile::STAGES_MAX + 1),
        ),
    ] {
        let source = SourceText::new(format!("{name}.dockerfile"), text);
        let error = lower(&source).expect_err(name);
        golden(&folder.join(name).with_extension("txt"), &shown(&error));
    }
}
