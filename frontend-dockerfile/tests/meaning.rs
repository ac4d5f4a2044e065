// SPDX-License-Identifier: Apache-2.0
//! Rules about what paths and mounts of an accepted Dockerfile mean, each by its number. The rules of
//! lowering are in `rules/`, those about what is accepted in `instructions/`.
//!
//! `Observed:` BuildKit 73ed6825.

mod support;

use frontend_dockerfile::{BuildInput, BuildOptions, DockerfileFrontend, SourceText};
use graph::{
    CacheSharing, CopyAction, FileActionKind, Frontend, MountKind, NetworkMode, Op, Plan, RunOp,
};
use oci::Platform;
use support::Shelf;

/// Lowers a file with build arguments.
fn plan_with(text: &str, build_args: &[(&str, &str)]) -> Plan {
    let mut options = BuildOptions::new(Platform::new("linux", "amd64", None));
    let build_args = build_args
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    options.build_args.extend(build_args);
    let input = BuildInput {
        source: SourceText::new("Dockerfile", text),
        dockerignore: None,
        options,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let lowered = runtime
        .expect("a runtime")
        .block_on(DockerfileFrontend.lower(&input, &Shelf::new()));
    lowered.unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn plan(text: &str) -> Plan {
    plan_with(text, &[])
}

fn runs(plan: &Plan) -> Vec<RunOp> {
    let ops = plan.graph.iter().map(|(_, vertex)| &vertex.op);
    ops.filter_map(|op| match op {
        Op::Run(run) => Some((**run).clone()),
        _ => None,
    })
    .collect()
}

fn copies(plan: &Plan) -> Vec<CopyAction> {
    let ops = plan.graph.iter().map(|(_, vertex)| &vertex.op);
    let actions = ops.filter_map(|op| match op {
        Op::File(file) => Some(&file.actions),
        _ => None,
    });
    actions
        .flatten()
        .filter_map(|action| match &action.kind {
            FileActionKind::Copy(copy) => Some((**copy).clone()),
            _ => None,
        })
        .collect()
}

/// Returns the value of a variable of the only RUN.
fn variable(plan: &Plan, name: &str) -> Option<String> {
    let runs = runs(plan);
    let [run] = runs.as_slice() else {
        panic!("{} RUNs", runs.len());
    };
    run.env.iter().find_map(|entry| {
        let (known, value) = entry.split_once('=')?;
        (known == name).then(|| value.to_owned())
    })
}

#[test]
fn rule_6_env_sees_what_was_before_the_line_and_arg_what_was_before_the_word() {
    let plan = plan("FROM scratch\nENV a=0\nENV a=1 b=$a\nARG c=1 d=$c\nRUN x\n");
    assert_eq!(variable(&plan, "b").as_deref(), Some("0"));
    assert_eq!(variable(&plan, "d").as_deref(), Some("1"));
}

#[test]
fn rule_31_33_35_how_paths_of_copy_are_read() {
    for (line, sources, destination) in [
        ("COPY a b /dst", &["/a", "/b"][..], "/dst"),
        ("COPY a ./", &["/a"], "/w/"),
        ("COPY a \"\"", &["/a"], "/w/"),
        ("COPY ../../a sub/x", &["/a"], "/w/sub/x"),
        ("COPY a /x/.", &["/a"], "/x/."),
    ] {
        let found = copies(&plan(&format!("FROM scratch\nWORKDIR /w\n{line}\n")));
        let paths: Vec<&str> = found.iter().map(|copy| copy.src.as_str()).collect();
        assert_eq!(paths, sources, "{line}");
        for copy in &found {
            assert_eq!(copy.dest, destination, "{line}");
            assert!(copy.dir_copy_contents && copy.create_dest_path, "{line}");
        }
    }
}

#[test]
fn rule_51_52_permissions_and_links() {
    let plan = plan("FROM alpine\nCOPY --link --chmod=1755 a /\nCOPY --link b /\n");
    assert_eq!(copies(&plan)[0].mode, Some(0o1755));
    let ops = plan.graph.iter().map(|(_, vertex)| &vertex.op);
    let merges = ops.filter(|op| matches!(op, Op::Merge)).count();
    assert_eq!(merges, 1, "--chmod takes --link back");
}

#[test]
fn rule_55_57_what_add_unpacks() {
    for (line, unpacks) in [
        ("ADD a.tar /", true),
        ("ADD --unpack=false a.tar /", false),
        ("ADD https://e.org/a.tar /", false),
        ("ADD --unpack https://e.org/a.tar /", true),
        ("COPY a.tar /", false),
    ] {
        let found = copies(&plan(&format!("FROM scratch\n{line}\n")));
        assert_eq!(found[0].attempt_unpack, unpacks, "{line}");
    }
}

#[test]
fn rule_60_files_written_in_the_dockerfile_are_named_by_their_word() {
    let found = copies(&plan("FROM scratch\nCOPY <<a <<b /x/\n1\na\n2\nb\n"));
    let paths: Vec<(&str, &str)> = found
        .iter()
        .map(|copy| (copy.src.as_str(), copy.dest.as_str()))
        .collect();
    assert_eq!(paths, [("/a", "/x/"), ("/b", "/x/")]);
}

#[test]
fn rule_70_71_a_cache_is_called_by_its_target() {
    for (options, id, sharing) in [
        ("target=/c/../d/", "//d", CacheSharing::Shared),
        (
            "target=/d,id=mine,sharing=locked",
            "/mine",
            CacheSharing::Locked,
        ),
        ("target=/d,sharing=private", "//d", CacheSharing::Private),
    ] {
        let plan = plan(&format!(
            "FROM alpine\nRUN --mount=type=cache,{options} x\n"
        ));
        let run = &runs(&plan)[0];
        let kinds = run.mounts.iter().map(|mount| &mount.kind);
        let kind = kinds
            .into_iter()
            .find(|kind| matches!(kind, MountKind::Cache { .. }));
        let kind = kind.expect("a cache");
        let expected = MountKind::Cache {
            id: id.to_owned(),
            sharing,
        };
        assert_eq!(kind, &expected, "{options}");
    }
    let text = "FROM alpine\nRUN --mount=type=cache,target=/d x\n";
    let plan = plan_with(text, &[("BUILDKIT_CACHE_MOUNT_NS", "team")]);
    let named = |kind: &MountKind| matches!(kind, MountKind::Cache { id, .. } if id == "team//d");
    assert!(runs(&plan)[0].mounts.iter().any(|mount| named(&mount.kind)));
}

#[test]
fn rule_73_what_is_written_to_a_bind_mount_is_dropped() {
    let plan = plan("FROM alpine\nRUN --mount=target=/d,rw x\n");
    let run = &runs(&plan)[0];
    let mount = run.mounts.iter().find(|mount| mount.dest == "/d");
    let mount = mount.expect("the mount");
    assert!(!mount.readonly && mount.output.is_none());
}

#[test]
fn rule_74_secrets_are_optional_unless_they_are_not() {
    for (option, is_optional) in [("", true), (",required", false), (",required=false", true)] {
        let plan = plan(&format!(
            "FROM alpine\nRUN --mount=type=secret,id=s{option} x\n"
        ));
        let run = &runs(&plan)[0];
        let mount = run
            .mounts
            .iter()
            .find(|mount| mount.dest == "/run/secrets/s");
        let MountKind::Secret { optional, mode, .. } = mount.expect("the mount").kind else {
            panic!("no secret: {run:?}");
        };
        assert_eq!((optional, mode), (is_optional, 0o400), "{option}");
    }
}

#[test]
fn rule_76_network_and_security_are_asked_for_in_the_step() {
    let plan = plan("FROM alpine\nRUN --network=host --security=insecure x\n");
    let run = &runs(&plan)[0];
    assert_eq!(run.network, NetworkMode::Host);
    assert_eq!(run.security, graph::SecurityMode::Insecure);
}
