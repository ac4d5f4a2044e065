// SPDX-License-Identifier: Apache-2.0
//! The rules of the source tree: who may know whom, how long a file may be, what docs may name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use integration::workspace_root;

/// Longest source file, and longest `lib.rs`, in lines.
const FILE_LINES_MAX: usize = 600;
const LIB_LINES_MAX: usize = 120;

/// Who may know whom; `docs/ARCHITECTURE.md` has the reasons. `integration` may know everybody.
const EDGES: &[(&str, &[&str])] = &[
    ("bucket", &[]),
    ("builder", &["cache", "graph", "oci", "registry", "runtime"]),
    ("cache", &["oci"]),
    (
        "cli",
        &[
            "builder",
            "frontend-dockerfile",
            "graph",
            "oci",
            "registry",
            "registry-s3",
        ],
    ),
    ("frontend-dockerfile", &["graph", "oci"]),
    ("graph", &["oci"]),
    ("oci", &[]),
    ("registry", &["oci"]),
    ("registry-s3", &["oci", "registry"]),
    ("runtime", &[]),
];

/// Folders at the top, which are fixed.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    "builder",
    "cache",
    "cli",
    "docs",
    "frontend-dockerfile",
    "integration",
    "registry",
    "runtime",
];

#[test]
fn crates_know_only_whom_they_may() {
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            if package.name.as_str() != "integration" {
                wrong.push(format!("{} is not in the table of edges", package.name));
            }
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
        {
            if ours.contains(&dependency.name) && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} → {}", package.name, dependency.name));
            }
        }
    }
    none(&wrong, "edges between crates that are not allowed");
}

#[test]
fn every_dependency_is_explained() {
    let path = workspace_root().join("docs/dependencies.md");
    let docs = fs::read_to_string(&path).expect("docs/dependencies.md explains dependencies");
    let wrong: Vec<String> = outside_dependencies(&metadata())
        .into_iter()
        .filter(|(_, dependency)| !docs.contains(&format!("`{dependency}`")))
        .map(|(package, dependency)| format!("{dependency} (of {package})"))
        .collect();
    none(
        &wrong,
        "dependencies that docs/dependencies.md does not name in backticks",
    );
}

#[test]
fn every_dependency_is_used() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let root = package
            .manifest_path
            .parent()
            .expect("a manifest lies in a directory");
        let text: String = sources_of(root.as_std_path(), &metadata)
            .iter()
            .map(|path| read(path))
            .collect();
        for dependency in &package.dependencies {
            let name = dependency
                .rename
                .as_ref()
                .unwrap_or(&dependency.name)
                .replace('-', "_");
            if !text.contains(&name) {
                wrong.push(format!("{} → {}", package.name, dependency.name));
            }
        }
    }
    none(&wrong, "dependencies that no source names");
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        let is_lib = path.ends_with("src/lib.rs");
        let limit = if is_lib {
            LIB_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        if lines > limit {
            wrong.push(format!(
                "{} has {lines} lines, more than {limit}",
                shown(&path)
            ));
        }
    }
    none(&wrong, "files that are too long");
}

#[test]
fn every_source_has_a_licence_and_a_header() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = read(&path);
        let mut lines = text.lines();
        if lines.next() != Some("// SPDX-License-Identifier: Apache-2.0") {
            wrong.push(format!(
                "{}: the first line is not the licence",
                shown(&path)
            ));
        } else if !lines.next().unwrap_or_default().starts_with("//!") {
            wrong.push(format!(
                "{}: the second line does not say what the file is",
                shown(&path)
            ));
        }
    }
    none(&wrong, "sources without a header");
}

#[test]
fn files_are_split_by_noun() {
    const FORBIDDEN: [&str; 5] = ["utils", "helpers", "common", "types", "manager"];
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|path| {
            path.iter()
                .filter_map(|part| Path::new(part).file_stem())
                .any(|stem| FORBIDDEN.iter().any(|name| stem == *name))
        })
        .map(|path| shown(path))
        .collect();
    none(&wrong, "names that say nothing");
}

#[test]
fn architecture_names_paths_that_exist() {
    let docs = read(&workspace_root().join("docs/ARCHITECTURE.md"));
    let lines = docs.lines().count();
    assert!(lines < 300, "docs/ARCHITECTURE.md has {lines} lines");
    let separators = |c: char| c.is_whitespace() || "`|()[],;→".contains(c);
    let mut wrong = Vec::new();
    // Braces hold alternatives with commas, so they are unfolded before the text is split.
    for word in unfold(&docs).split(separators) {
        let word = word.trim_end_matches(['.', ':']);
        let first = word.split('/').next().unwrap_or_default();
        let is_path = word.contains('/') && TOP_LEVEL.contains(&first);
        if !is_path || word.contains(['<', '*', '…', '$', '{']) {
            continue;
        }
        let path = workspace_root().join(word.split("::").next().unwrap_or(word));
        if !path.exists() && !path.with_extension("rs").exists() {
            wrong.push(word.to_owned());
        }
    }
    none(&wrong, "paths in docs/ARCHITECTURE.md that do not exist");
}

#[test]
fn unsafe_code_lies_in_one_module() {
    let keyword = ["un", "safe"].concat();
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|path| !shown(path).starts_with("runtime/src/sys"))
        .filter(|path| {
            let text = read(path);
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default());
            code.into_iter().any(|line| {
                line.contains(&format!("{keyword} {{")) || line.contains(&format!("{keyword} fn"))
            })
        })
        .map(|path| shown(path))
        .collect();
    none(&wrong, "files outside runtime/src/sys with unsafe code");
}

/// A test that another one starts and kills is no test by itself, and says so.
#[test]
fn no_test_is_switched_off() {
    let attribute = ["#[ig", "nore"].concat();
    let victim = format!("{attribute} = \"killed by ");
    let is_switched_off = |path: &&PathBuf| {
        let text = read(path);
        text.matches(&attribute).count() > text.matches(&victim).count()
    };
    let wrong: Vec<String> = sources()
        .iter()
        .filter(is_switched_off)
        .map(|path| shown(path))
        .collect();
    none(&wrong, "tests that are switched off");
}

/// Package registries and where this was written are matters of the machine, not of the source.
#[test]
fn no_file_names_a_package_registry() {
    let hosts: Vec<String> = [
        ["deb", "debian", "org"],
        ["security", "debian", "org"],
        ["registry", "npmjs", "org"],
        ["files", "pythonhosted", "org"],
        ["static", "crates", "io"],
        ["index", "crates", "io"],
        ["proxy", "golang", "org"],
    ]
    .iter()
    .map(|parts| parts.join("."))
    .chain([
        ["pypi", "org"].join("."),
        ["", "work", "main"].join("/"),
        ["", "work", "shared"].join("/"),
    ])
    .collect();
    let mut wrong = Vec::new();
    for path in text_files() {
        let text = read(&path);
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            wrong.push(format!("{} names {host}", shown(&path)));
        }
    }
    none(&wrong, "names that do not belong into the source");
}

pub(crate) fn none(wrong: &[String], what: &str) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(workspace_root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo reads its own workspace")
}

fn outside_dependencies(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let packages = metadata.workspace_packages();
    let named = |package: &&Package| {
        let of = package.name.to_string();
        let outside = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_none());
        outside
            .map(|dependency| (of.clone(), dependency.name.clone()))
            .collect::<Vec<_>>()
    };
    packages.iter().flat_map(named).collect()
}

/// Returns the sources of the crate in `root`, without those of crates nested in it.
fn sources_of(root: &Path, metadata: &Metadata) -> Vec<PathBuf> {
    let nested: Vec<PathBuf> = metadata
        .workspace_packages()
        .iter()
        .filter_map(|package| package.manifest_path.parent())
        .map(|path| path.as_std_path().to_owned())
        .filter(|path| path != root && path.starts_with(root))
        .collect();
    let ours = |path: &PathBuf| {
        path.starts_with(root) && !nested.iter().any(|other| path.starts_with(other))
    };
    sources().into_iter().filter(ours).collect()
}

pub(crate) fn sources() -> Vec<PathBuf> {
    text_files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// Returns the files of the tree that are text, except what cargo writes.
fn text_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![workspace_root().to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)
            .expect("the tree is readable")
            .flatten()
        {
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().expect("the tree is readable");
            // Of a fresh clone `target` has no tag yet when tools are built into it.
            let built =
                path.join("CACHEDIR.TAG").exists() || path == workspace_root().join("target");
            if kind.is_dir() && name != ".git" && !built {
                pending.push(path);
            } else if kind.is_file() && name != "Cargo.lock" && fs::read_to_string(&path).is_ok() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace_root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Writes `a/{b,c}` as `a/b a/c`, word by word.
fn unfold(text: &str) -> String {
    let mut unfolded = String::new();
    for word in text.split_inclusive(|c: char| c.is_whitespace() || c == '`') {
        match word
            .split_once('{')
            .and_then(|(head, rest)| Some((head, rest.split_once('}')?)))
        {
            Some((head, (choices, tail))) => {
                for choice in choices.split(',') {
                    unfolded.extend([head, choice, tail, " "]);
                }
            }
            None => unfolded.push_str(word),
        }
    }
    unfolded
}
