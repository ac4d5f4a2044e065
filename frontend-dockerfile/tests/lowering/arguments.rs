// SPDX-License-Identifier: Apache-2.0
//! ARG and ENV: scope, precedence, and the arguments that mean something to the builder.

use crate::lowered::{Lowered, lower, lower_with, refused};

/// Returns the variables of the last RUN without those of the base.
fn own_env(text: &str) -> Vec<String> {
    let lowered = lower(text);
    let mut env = lowered.runs().last().expect("a RUN").env.clone();
    env.retain(|entry| !entry.starts_with("PATH=") && !entry.starts_with("BASE="));
    env
}

/// Tells for every RUN whether it has a variable.
fn having(text: &str, entry: &str) -> Vec<bool> {
    let lowered = lower(text);
    let runs = lowered.runs();
    runs.iter()
        .map(|run| run.env.contains(&entry.to_owned()))
        .collect()
}

#[test]
fn rule_21_global_arguments_need_a_declaration() {
    for (rule, text, expected) in [
        ("not declared", "ARG g=1\nFROM alpine\nRUN x\n", &[][..]),
        (
            "takes the global value",
            "ARG g=1\nFROM alpine\nARG g\nRUN x\n",
            &["g=1"][..],
        ),
        (
            "its own default wins",
            "ARG g=1\nFROM alpine\nARG g=2\nRUN x\n",
            &["g=2"][..],
        ),
        ("none anywhere", "FROM alpine\nARG g\nRUN x\n", &[][..]),
    ] {
        assert_eq!(own_env(text), expected, "{rule}");
    }
}

#[test]
fn rule_22_the_last_of_arg_and_env_wins_and_stands_last() {
    for (text, expected) in [
        ("ENV v=e\nARG v=a\nRUN x\n", &["v=a"][..]),
        ("ARG v=a\nENV v=e\nRUN x\n", &["v=e"][..]),
        ("ENV v=e w=1\nARG v\nRUN x\n", &["v=e", "w=1"][..]),
        ("ENV v=1 w=2\nENV v=3\nRUN x\n", &["w=2", "v=3"][..]),
    ] {
        assert_eq!(own_env(&format!("FROM alpine\n{text}")), expected, "{text}");
    }
}

#[test]
fn rule_22_only_env_is_in_the_config() {
    let config = lower("FROM alpine\nARG a=1\nENV b=$a\nARG b=2\n").config();
    assert_eq!(
        config["Env"],
        serde_json::json!(["PATH=/bin", "BASE=1", "b=1"])
    );
}

#[test]
fn rule_23_unused_arguments_reach_every_later_step() {
    let text = "FROM alpine\nRUN one\nARG unused=1\nRUN two\n";
    assert_eq!(having(text, "unused=1"), [false, true]);
}

#[test]
fn rule_24_proxies_are_beside_the_environment() {
    let given = [
        ("HTTP_PROXY", "up"),
        ("http_proxy", "low"),
        ("No_Proxy", "n"),
        ("ALL_PROXY", "a"),
    ];
    let lowered = lower_with("FROM alpine\nRUN x\nARG http_proxy\nRUN y\n", &given);
    let runs = lowered.runs();
    let proxies = runs[0].proxy_env.as_ref().expect("proxies");
    assert_eq!(proxies.http_proxy, "low", "the lower-case name wins");
    assert_eq!(
        (proxies.no_proxy.as_str(), proxies.all_proxy.as_str()),
        ("n", "a")
    );
    assert_eq!(runs[0].env, ["PATH=/bin", "BASE=1"]);
    assert!(
        runs[1].env.contains(&"http_proxy=low".to_owned()),
        "declared"
    );
    let history = lowered.history();
    assert_eq!(history[1], "RUN /bin/sh -c x # buildkit");
    assert_eq!(history[3], "RUN |1 http_proxy=low /bin/sh -c y # buildkit");
}

#[test]
fn rule_25_arguments_are_inherited_from_the_base_stage_only() {
    let text = "FROM alpine AS a\nARG v=1\nFROM a AS b\nRUN b\n\
        FROM alpine\nCOPY --from=b /x /x\nRUN c\n";
    assert_eq!(having(text, "v=1"), [true, false]);
}

#[test]
fn rule_26_platform_arguments_need_a_declaration_and_can_be_given() {
    for (rule, given, text, expected) in [
        ("not declared", &[][..], "RUN x\n", &[][..]),
        (
            "declared",
            &[][..],
            "ARG TARGETARCH\nRUN x\n",
            &["TARGETARCH=amd64"][..],
        ),
        (
            "given",
            &[("TARGETARCH", "z80")][..],
            "ARG TARGETARCH\nRUN x\n",
            &["TARGETARCH=z80"][..],
        ),
        (
            "a default wins",
            &[][..],
            "ARG TARGETOS=own\nRUN x\n",
            &["TARGETOS=own"][..],
        ),
        (
            "empty is not unset",
            &[][..],
            "ARG TARGETVARIANT\nRUN x\n",
            &["TARGETVARIANT="][..],
        ),
    ] {
        let lowered = lower_with(&format!("FROM alpine\n{text}"), given);
        let mut env = lowered.runs()[0].env.clone();
        env.retain(|entry| entry.contains("TARGET"));
        assert_eq!(env, expected, "{rule}");
    }
}

#[test]
fn target_stage_is_the_name_of_what_is_built() {
    for (rule, target, text, expected) in [
        (
            "asked for, as written",
            Some("One"),
            "FROM alpine AS one\n",
            "One",
        ),
        (
            "the last",
            None,
            "FROM alpine AS one\nFROM alpine AS Two\n",
            "two",
        ),
        (
            "without name",
            None,
            "FROM alpine AS one\nFROM alpine\n",
            "default",
        ),
    ] {
        let text = format!("{text}ARG TARGETSTAGE\nRUN x\n");
        let lowered = Lowered::new(&text, |options| options.target = target.map(str::to_owned));
        let env = &lowered.runs()[0].env;
        assert!(
            env.contains(&format!("TARGETSTAGE={expected}")),
            "{rule}: {env:?}"
        );
    }
}

#[test]
fn rule_27_the_epoch_needs_no_declaration_in_a_stage() {
    let given = [("SOURCE_DATE_EPOCH", "5")];
    let global = "ARG SOURCE_DATE_EPOCH=7\nFROM alpine\n";
    for (rule, given, text, expected) in [
        ("given", &given[..], "FROM alpine\n", Some(5)),
        ("global default", &[][..], global, Some(7)),
        ("given wins", &given[..], global, Some(5)),
        (
            "too late in a stage",
            &[][..],
            "FROM alpine\nARG SOURCE_DATE_EPOCH=7\n",
            None,
        ),
        (
            "empty is none",
            &[("SOURCE_DATE_EPOCH", "")][..],
            "FROM alpine\n",
            None,
        ),
    ] {
        assert_eq!(
            lower_with(text, given).plan.source_date_epoch,
            expected,
            "{rule}"
        );
    }
}

#[test]
fn arguments_that_steer_the_builder_never_reach_a_step() {
    let text = "FROM alpine\nARG BUILDKIT_SBOM_SCAN_STAGE=1 BUILDKIT_SBOM_SCAN_CONTEXT=1\nRUN x\n";
    assert!(own_env(text).is_empty());
}

#[test]
fn build_arguments_that_nobody_declares_are_ignored() {
    let given = [
        ("nobody", "1"),
        ("BUILDKIT_BUILD_NAME", "n"),
        ("BUILDKIT_INLINE_CACHE", "1"),
        ("BUILDKIT_ATTEST_SBOM", ""),
    ];
    let lowered = lower_with("FROM alpine\nRUN x\n", &given);
    assert_eq!(lowered.runs()[0].env, ["PATH=/bin", "BASE=1"]);
}

#[test]
fn multi_platform_is_asked_for_by_an_argument() {
    let (name, text) = ("BUILDKIT_MULTI_PLATFORM", "FROM alpine\nRUN x\n");
    for (value, is_index, title) in [
        ("1", true, "[linux/amd64 2/2] RUN x"),
        ("false", false, "[2/2] RUN x"),
        ("", false, "[2/2] RUN x"),
    ] {
        let lowered = lower_with(text, &[(name, value)]);
        assert_eq!(lowered.plan.multi_platform, is_index, "{value}");
        assert_eq!(
            lowered.titles().last().map(String::as_str),
            Some(title),
            "{value}"
        );
    }
    assert!(refused(text, &[(name, "maybe")]).contains("=maybe is neither true nor false"));
}
