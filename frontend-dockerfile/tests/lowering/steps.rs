// SPDX-License-Identifier: Apache-2.0
//! RUN, its mounts and documents; stages and titles.

use graph::MountKind;

use crate::lowered::{Lowered, lower, lower_with};

#[test]
fn rule_10_bodies_of_run_belong_to_the_shell() {
    for word in ["EOF", "\"EOF\"", "'EOF'"] {
        let lowered = lower(&format!(
            "FROM alpine\nARG x=1\nRUN <<{word}\necho $x\nEOF\n"
        ));
        assert_eq!(
            lowered.last_command(),
            ["/bin/sh", "-c", "echo $x\n"],
            "{word}"
        );
    }
}

#[test]
fn rule_11_a_program_is_mounted_and_started_by_the_shell_in_force() {
    let lowered = lower("FROM alpine\nSHELL [\"/bin/ash\", \"-c\"]\nRUN <<P\n#!/bin/awk -f\nP\n");
    assert_eq!(lowered.last_command(), ["/bin/ash", "-c", "/dev/pipes/P"]);
    assert_eq!(lowered.documents(), ["#!/bin/awk -f\n"]);
    assert_eq!(lowered.last_mounts(), ["/", "/dev/pipes/"]);
}

#[test]
fn correction_two_documents_as_whole_command_are_a_command_that_does_nothing() {
    let lowered = lower("FROM alpine\nRUN <<A <<B\necho a\nA\necho b\nB\n");
    let script = "<<A <<B\necho a\nA\necho b\nB";
    assert_eq!(lowered.last_command(), ["/bin/sh", "-c", script]);
}

#[test]
fn rule_28_the_last_stage_of_a_name_counts() {
    let lowered = lower(
        "FROM alpine AS s\nRUN one\nFROM alpine AS s\nRUN two\n\
        FROM scratch\nCOPY --from=s /x /x\n",
    );
    assert_eq!(lowered.commands(), ["two"]);
}

#[test]
fn rule_29_unreached_stages_are_not_looked_at() {
    let lowered = lower("FROM no-such-image AS never\nCOPY $none /x\nFROM alpine\nRUN x\n");
    assert_eq!(lowered.commands(), ["x"]);
}

#[test]
fn rule_62_the_shell_in_force() {
    for (rule, text, expected) in [
        ("default", "RUN x y\n", &["/bin/sh", "-c", "x y"][..]),
        (
            "set",
            "SHELL [\"s\", \"-f\"]\nRUN x y\n",
            &["s", "-f", "x y"][..],
        ),
        (
            "not for the JSON form",
            "SHELL [\"s\"]\nRUN [\"x\", \"y\"]\n",
            &["x", "y"][..],
        ),
    ] {
        assert_eq!(
            lower(&format!("FROM alpine\n{text}")).last_command(),
            expected,
            "{rule}"
        );
    }
}

#[test]
fn rules_70_to_74_mounts() {
    let mounts = "--mount=type=cache,target=/c/ --mount=type=secret,id=s --mount=target=/b,rw";
    let lowered = lower_with(
        &format!("FROM alpine\nRUN {mounts} x\n"),
        &[("BUILDKIT_CACHE_MOUNT_NS", "ns")],
    );
    let runs = lowered.runs();
    let [_, bind, cache, secret] = runs[0].mounts.as_slice() else {
        panic!("{:?}", runs[0].mounts);
    };
    assert!(
        matches!(&cache.kind, MountKind::Cache { id, .. } if id == "ns//c"),
        "70: {cache:?}"
    );
    assert!(!bind.readonly && bind.output.is_none(), "73: {bind:?}");
    let optional = matches!(
        &secret.kind,
        MountKind::Secret {
            optional: true,
            mode: 0o400,
            ..
        }
    );
    assert!(optional, "74: {secret:?}");
}

#[test]
fn rule_72_an_owned_cache_starts_from_a_directory() {
    let lowered = lower("FROM alpine\nRUN --mount=type=cache,target=/c,uid=7 x\n");
    let cache = &lowered.runs()[0].mounts[1];
    assert_eq!((cache.selector.as_str(), cache.input), ("/cache", Some(1)));
}

#[test]
fn rule_75_secrets_in_variables_are_named_not_shown() {
    let mount = "--mount=type=secret,id=t,env=TOKEN";
    let lowered = lower(&format!(
        "FROM alpine\nARG TOKEN=wrong\nRUN {mount} echo $TOKEN\n"
    ));
    let runs = lowered.runs();
    assert_eq!(runs[0].secret_env[0].id, "t");
    assert_eq!(runs[0].mounts.len(), 1, "no file without a target");
    let titles = lowered.titles();
    assert!(
        titles.iter().any(|title| title.ends_with("echo ****")),
        "{titles:?}"
    );
}

#[test]
fn rule_77_shared_memory_is_mounted_only_with_a_size() {
    for (bytes, expected) in [(0, &["/"][..]), (64, &["/", "/dev/shm"][..])] {
        let lowered = Lowered::new("FROM alpine\nRUN x\n", |options| {
            options.shm_size_bytes = bytes;
        });
        assert_eq!(lowered.last_mounts(), expected, "{bytes}");
    }
}

#[test]
fn rule_78_the_host_name_is_fixed_unless_given() {
    let text = "FROM alpine\nRUN x\n";
    assert_eq!(lower(text).runs()[0].hostname, "");
    let given = [("BUILDKIT_SANDBOX_HOSTNAME", "h")];
    assert_eq!(lower_with(text, &given).runs()[0].hostname, "h");
}

#[test]
fn titles_of_steps() {
    let ten = format!("FROM alpine\n{}", "WORKDIR /x\n".repeat(9));
    for (rule, text, expected) in [
        ("one stage", "FROM alpine\nRUN x\n", &["[2/2] RUN x"][..]),
        (
            "its name is not shown",
            "FROM alpine AS a\nRUN x\n",
            &["[2/2] RUN x"][..],
        ),
        (
            "several stages",
            "FROM alpine AS a\nRUN x\nFROM a\nRUN y\n",
            &["[a 2/2] RUN x", "[stage-1 1/1] RUN y"][..],
        ),
        (
            "an image that is copied from is one more",
            "FROM alpine\nCOPY --from=ubuntu /x /x\n",
            &["[stage-0 2/2] COPY --from=ubuntu /x /x"][..],
        ),
        (
            "numbers are aligned",
            ten.as_str(),
            &["[ 2/10] WORKDIR /x"][..],
        ),
        (
            "triggers",
            "FROM alpine AS a\nONBUILD RUN t\nFROM a AS b\n",
            &["[b 1/1] ONBUILD RUN t"][..],
        ),
        (
            "variables",
            "FROM alpine\nARG v=1\nRUN $v $w\n",
            &["[2/2] RUN 1 $w"][..],
        ),
        (
            "documents",
            "FROM alpine\nRUN <<E\none\ntwo\nE\n",
            &["[2/2] RUN <<E (one...)"][..],
        ),
        (
            "the context",
            "FROM alpine\nCOPY a /a\n",
            &["[internal] load build context", "[2/2] COPY a /a"][..],
        ),
        (
            "keywords in capitals",
            "from alpine\nrun x\n",
            &["[2/2] RUN x"][..],
        ),
    ] {
        let mut titles = lower(text).titles();
        titles.retain(|title| !title.contains("FROM "));
        titles.truncate(expected.len());
        assert_eq!(titles, expected, "{rule}");
    }
}
