// SPDX-License-Identifier: Apache-2.0
//! What every instruction may say and what not: one table per instruction.
//!
//! `NAME.table` holds a case per line: `+` is accepted, `-` is refused; `*` is accepted here alone, for
//! the reason above it; `!` is refused here before anything runs, and by BuildKit once it runs. Below
//! a refused case stands what the user reads of each problem. In a case `\n`, `\t` and `\\` are escapes; one that
//! does not start with FROM follows `FROM scratch`, one that starts with `^` is a file of its own.
//! `#` starts a comment.
//!
//! `Observed:` the signs are those of BuildKit 73ed6825; with [`ORACLE`] set they are asked again.

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use frontend_dockerfile::{
    BuildInput, BuildOptions, DockerfileError, DockerfileFrontend, SourceText,
};
use graph::Frontend;
use oci::Platform;
use support::Shelf;

/// Set to the address of a running buildkitd to check the signs; `buildctl` is then in `PATH`.
const ORACLE: &str = "KILN_BUILDKIT";
/// Set to rewrite the messages. Signs are never rewritten.
const BLESS: &str = "KILN_BLESS";

/// Gives every table a test.
macro_rules! tables {
    ($($test:ident => $table:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            check($table);
        })+

        const TABLES: &[&str] = &[$($table),+];
    };
}

tables! {
    rule_55_59_add_forms_and_flags => "add",
    arg_forms => "arg",
    cmd_and_entrypoint_forms => "command",
    rule_33_51_copy_forms_and_flags => "copy",
    rule_4_json_of_other_things_is_refused_and_broken_json_is_not => "json",
    rule_7_8_env_and_label_forms => "pairs",
    rule_13_expose_ports_ranges_and_protocols => "expose",
    rule_12_user_workdir_maintainer_volume_stopsignal_shell => "meta",
    rule_18_healthcheck_forms_and_durations => "healthcheck",
    rule_14_15_17_19_28_references_to_stages => "origin",
    rule_16_expansion_families => "expansion",
    rule_19_20_74_mount_keys_by_type => "mount",
    rule_29_what_is_checked_in_stages_that_are_not_needed => "unreached",
    rule_76_run_forms_and_flags => "run",
    from_forms => "from",
    rule_5_directives_and_what_may_stand_before_from => "file",
    onbuild_forms_and_triggers => "onbuild",
}

#[test]
fn every_table_has_a_test() {
    for entry in fs::read_dir(folder()).expect("the tables are there") {
        let path = entry.expect("a readable folder").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "table")
        {
            let name = path.file_stem().and_then(|name| name.to_str());
            let name = name.expect("a plain name");
            assert!(TABLES.contains(&name), "{name}.table has no test");
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the switches of a test, read nowhere else"
)]
fn switch(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Compares a table with what the frontend says.
fn check(name: &str) {
    let path = folder().join(name).with_extension("table");
    let table = fs::read_to_string(&path).expect("the table is there");
    let mut found = String::new();
    let mut wrong = String::new();
    for line in table.lines() {
        if line.starts_with("    ") {
            continue;
        }
        writeln!(found, "{line}").expect("a string takes all");
        let Some((sign @ ("+" | "-" | "*" | "!"), case)) = line.split_once(' ') else {
            assert!(line.is_empty() || line.starts_with('#'), "{name}: {line}");
            continue;
        };
        let file = file(case);
        let messages = messages(&file);
        for message in &messages {
            writeln!(found, "    {message}").expect("a string takes all");
        }
        if messages.is_empty() != matches!(sign, "+" | "*") {
            writeln!(wrong, "{line}: {messages:?}").expect("a string takes all");
        }
        if let Some(address) = switch(ORACLE) {
            let accepted = buildkit_accepts(&address, &file);
            let expected = matches!(sign, "+" | "!");
            assert_eq!(accepted, expected, "{name}: BuildKit on `{case}`");
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{wrong}");
    if switch(BLESS).is_some() {
        fs::write(&path, found).expect("the table is writable");
    } else {
        assert!(
            found == table,
            "{name}.table differs; set {BLESS}=1 to accept:\n{found}"
        );
    }
}

fn file(case: &str) -> String {
    let mut text = String::new();
    let mut chars = case.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                other => other.expect("a complete escape"),
            },
            c => c,
        });
    }
    text.push('\n');
    if let Some(whole) = text.strip_prefix('^') {
        whole.to_owned()
    } else if text.to_uppercase().starts_with("FROM") {
        text
    } else {
        format!("FROM scratch\n{text}")
    }
}

/// Returns what the user reads of every problem, in one line each.
fn messages(file: &str) -> Vec<String> {
    let input = BuildInput {
        source: SourceText::new("Dockerfile", file),
        dockerignore: None,
        options: BuildOptions::new(Platform::new("linux", "amd64", None)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    match runtime.block_on(DockerfileFrontend.lower(&input, &Shelf::new())) {
        Ok(_) => Vec::new(),
        Err(DockerfileError::Invalid(invalid)) => invalid
            .diagnostics
            .iter()
            .map(|problem| {
                let at = invalid.source.position(problem.span.start);
                let help = problem.help.as_ref().map(|help| format!(" ({help})"));
                format!("{at} {}{}", problem.message, help.unwrap_or_default()).replace('\n', "\\n")
            })
            .collect(),
        Err(other) => vec![other.to_string()],
    }
}

fn buildkit_accepts(address: &str, file: &str) -> bool {
    let folder = std::env::temp_dir().join(format!("kiln-table-{}", std::process::id()));
    let folder = folder.join(format!("{:?}", std::thread::current().id()));
    fs::create_dir_all(&folder).expect("a folder for one case");
    // BuildKit takes files of one name, size and time for equal, so each case has its own name.
    let name = oci::sha256(file.as_bytes()).to_string().replace(':', "-");
    fs::write(folder.join(&name), file).expect("the folder is writable");
    let local = |name: &str| format!("{name}={}", folder.display());
    let done = Command::new("buildctl")
        .args(["--addr", address, "build", "--frontend", "dockerfile.v0"])
        .args([
            "--local",
            &local("context"),
            "--local",
            &local("dockerfile"),
        ])
        .args(["--opt", "requestid=frontend.convertllb"])
        .args(["--opt", &format!("filename={name}")])
        .output()
        .expect("buildctl runs");
    fs::remove_dir_all(&folder).expect("the folder is ours");
    done.status.success()
}
