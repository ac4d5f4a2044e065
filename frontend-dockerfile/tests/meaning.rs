// SPDX-License-Identifier: Apache-2.0
//! Rules about what an accepted Dockerfile means, each by the number that `docs/dockerfile.md` has
//! it under.
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

fn history(plan: &Plan) -> String {
    let entries = plan.targets[0].config.history.iter();
    let texts: Vec<&str> = entries
        .filter_map(|entry| entry.created_by.as_deref())
        .collect();
    texts.join("\n")
}

#[test]
fn rule_6_env_sees_what_was_before_the_line_and_arg_what_was_before_the_word() {
    let plan = plan("FROM scratch\nENV a=0\nENV a=1 b=$a\nARG c=1 d=$c\nRUN x\n");
    assert_eq!(variable(&plan, "b").as_deref(), Some("0"));
    assert_eq!(variable(&plan, "d").as_deref(), Some("1"));
}

#[test]
fn rule_10_bodies_of_run_are_never_expanded() {
    for word in ["EOF", "\"EOF\""] {
        let plan = plan(&format!(
            "FROM scratch\nENV x=1\nRUN <<{word}\necho $x\nEOF\n"
        ));
        assert_eq!(
            runs(&plan)[0].args,
            ["/bin/sh", "-c", "echo $x\n"],
            "{word}"
        );
    }
}

#[test]
fn rule_11_a_body_with_an_interpreter_is_a_program() {
    let plan = plan("FROM scratch\nRUN <<EOF\n#!/bin/x\nbody\nEOF\n");
    let run = &runs(&plan)[0];
    assert_eq!(run.args, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
    assert!(
        run.mounts
            .iter()
            .any(|mount| mount.dest == "/dev/pipes" && mount.readonly)
    );
}

#[test]
fn rule_21_global_arguments_are_seen_once_declared_again() {
    let text = "ARG v=1\nFROM scratch\nRUN x\n";
    assert_eq!(variable(&plan(text), "v"), None);
    let text = "ARG v=1\nFROM scratch\nARG v\nRUN x\n";
    assert_eq!(variable(&plan(text), "v").as_deref(), Some("1"));
    assert_eq!(
        variable(&plan_with(text, &[("v", "2")]), "v").as_deref(),
        Some("2")
    );
}

#[test]
fn rule_22_the_last_of_arg_and_env_counts() {
    let plan = plan("FROM scratch\nENV v=env\nARG v=arg\nRUN x\n");
    assert_eq!(variable(&plan, "v").as_deref(), Some("arg"));
    assert!(
        plan.targets[0]
            .config
            .config
            .env
            .contains(&"v=env".to_owned())
    );
}

#[test]
fn rule_23_arguments_that_a_step_does_not_use_are_in_its_environment() {
    let plan = plan("FROM scratch\nARG unused=1\nRUN x\n");
    assert_eq!(variable(&plan, "unused").as_deref(), Some("1"));
}

#[test]
fn rule_24_proxies_reach_steps_beside_the_environment() {
    let plan = plan_with("FROM scratch\nRUN x\n", &[("HTTP_PROXY", "http://p")]);
    assert_eq!(variable(&plan, "HTTP_PROXY"), None);
    let proxies = runs(&plan)[0].proxy_env.clone().expect("a proxy");
    assert_eq!(proxies.http_proxy, "http://p");
    assert!(!history(&plan).contains("http://p"));
}

#[test]
fn rule_25_arguments_are_inherited_from_the_base_stage_only() {
    let other = "FROM scratch AS a\nARG v=1\nFROM scratch\nRUN x\n";
    assert_eq!(variable(&plan(other), "v"), None);
    let base = "FROM scratch AS a\nARG v=1\nFROM a\nRUN x\n";
    assert_eq!(variable(&plan(base), "v").as_deref(), Some("1"));
}

#[test]
fn rule_26_platform_arguments_are_declared_and_can_be_given() {
    assert_eq!(variable(&plan("FROM scratch\nRUN x\n"), "TARGETARCH"), None);
    let text = "FROM scratch\nARG TARGETARCH\nRUN x\n";
    assert_eq!(
        variable(&plan(text), "TARGETARCH").as_deref(),
        Some("amd64")
    );
    let given = plan_with(text, &[("TARGETARCH", "mine")]);
    assert_eq!(variable(&given, "TARGETARCH").as_deref(), Some("mine"));
}

#[test]
fn rule_27_the_epoch_counts_without_a_declaration() {
    let given = plan_with("FROM scratch\nCOPY a /\n", &[("SOURCE_DATE_EPOCH", "7")]);
    assert_eq!(given.source_date_epoch, Some(7));
    let default = plan("ARG SOURCE_DATE_EPOCH=8\nFROM scratch\nCOPY a /\n");
    assert_eq!(default.source_date_epoch, Some(8));
}

#[test]
fn rule_28_the_last_stage_of_a_name_is_meant() {
    let plan = plan(
        "FROM scratch AS a\nRUN first\nFROM scratch AS a\nRUN second\nFROM scratch\nCOPY --from=a / /\n",
    );
    let steps: Vec<String> = runs(&plan).iter().map(|run| run.args.join(" ")).collect();
    assert_eq!(steps, ["/bin/sh -c second"]);
}

#[test]
fn rule_29_images_of_stages_that_are_not_needed_are_not_asked_for() {
    let plan = plan("FROM no.such.host/image AS a\nRUN x\nFROM scratch\nCOPY a /\n");
    assert_eq!(runs(&plan), []);
}

#[test]
fn rule_30_the_context_names_the_paths_that_steps_read() {
    let text = "FROM alpine\nCOPY src/*.c lib /\nRUN --mount=source=/data,target=/d x\n";
    let plan = plan(text);
    let paths = plan.graph.iter().find_map(|(_, vertex)| match &vertex.op {
        Op::Source(source) => source.attrs.get("local.followpaths"),
        _ => None,
    });
    assert_eq!(
        paths.map(String::as_str),
        Some(r#"["data","lib","src/*.c"]"#)
    );
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
fn rule_34_a_pattern_may_match_nothing() {
    let found = copies(&plan("FROM scratch\nCOPY no*match /\n"));
    assert!(found[0].allow_wildcard && found[0].allow_empty_wildcard);
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
fn rule_54_excluded_paths_and_parents_are_patterns() {
    let text = "FROM scratch\nCOPY --parents --exclude=*.o --exclude=!a.o x/./y/*.c /\n";
    let copy = copies(&plan(text)).remove(0);
    assert_eq!(copy.exclude_patterns, ["*.o", "!a.o"]);
    assert_eq!(copy.include_patterns, ["y/*.c"]);
    assert_eq!(copy.src, "/x");
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
        let mount = run.mounts.iter().find(|mount| mount.dest == "/d");
        let kind = &mount.expect("the mount").kind;
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
fn rule_72_a_cache_with_an_owner_starts_as_a_directory_of_its_own() {
    let plan = plan("FROM alpine\nRUN --mount=type=cache,target=/d,uid=5 x\n");
    let run = &runs(&plan)[0];
    let mount = run.mounts.iter().find(|mount| mount.dest == "/d");
    assert_eq!(mount.expect("the mount").selector, "/cache");
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
fn rule_75_a_secret_variable_is_named_and_its_value_nowhere() {
    let plan = plan("FROM alpine\nRUN --mount=type=secret,id=s,env=TOKEN x\n");
    let run = &runs(&plan)[0];
    let [secret] = run.secret_env.as_slice() else {
        panic!("{run:?}");
    };
    assert_eq!((secret.id.as_str(), secret.name.as_str()), ("s", "TOKEN"));
    assert!(run.mounts.iter().all(|mount| mount.dest == "/"));
    assert!(!history(&plan).contains("TOKEN="));
}

#[test]
fn rule_76_network_and_security_are_asked_for_in_the_step() {
    let plan = plan("FROM alpine\nRUN --network=host --security=insecure x\n");
    let run = &runs(&plan)[0];
    assert_eq!(run.network, NetworkMode::Host);
    assert_eq!(run.security, graph::SecurityMode::Insecure);
}
