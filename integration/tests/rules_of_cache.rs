// SPDX-License-Identifier: Apache-2.0
//! What finds a recorded step and what does not, rule by rule, through whole builds.
//!
//! The numbers are those of `docs/dockerfile.md`. `Observed:` each on BuildKit 73ed6825.

use integration::peers::BUSYBOX;
use integration::{Requirement, TestEnv, lacks};

const ROOT: &[Requirement] = &[BUSYBOX, Requirement::Root];

/// Builds the context `c` with this Dockerfile; returns how many steps were found recorded.
fn cached(env: &TestEnv, dockerfile: &str, args: &[&str]) -> usize {
    let context = env.context("c", dockerfile, &[]);
    env.build("rule:1", &context).args(args).ok().cached_steps()
}

#[test]
fn rule_106_only_names_that_arrive_count() {
    if lacks("rule_106_only_names_that_arrive_count", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    for path in ["c/a/file", "c/b/file", "c/d/one"] {
        env.write(path, "same\n");
    }
    let file = |from: &str| format!("FROM busybox\nCOPY {from} /x/\nRUN true\n");
    assert_eq!(cached(&env, &file("a/file"), &[]), 0);
    assert_eq!(cached(&env, &file("b/file"), &[]), 2, "moved");
    for from in ["d", "d/*"] {
        env.write("c/d/one", "same\n");
        assert_eq!(cached(&env, &file(from), &[]), 0, "{from}");
        assert_eq!(cached(&env, &file(from), &[]), 2, "{from}");
        let path = |name: &str| env.path(&format!("c/d/{name}"));
        std::fs::rename(path("one"), path("two")).expect("the context is ours");
        assert_eq!(cached(&env, &file(from), &[]), 0, "{from}, renamed");
        std::fs::remove_file(path("two")).expect("the context is ours");
    }
}

#[test]
fn rule_107_a_stage_with_the_same_files_hits() {
    if lacks("rule_107_a_stage_with_the_same_files_hits", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let dockerfile = "FROM busybox AS tools\nARG v\nRUN echo same > /out && echo built $v\n\
                      FROM busybox\nCOPY --from=tools /out /x\nRUN cat /x\n";
    assert_eq!(cached(&env, dockerfile, &["--build-arg", "v=1"]), 0);
    assert_eq!(cached(&env, dockerfile, &["--build-arg", "v=2"]), 2);
}

#[test]
fn rule_108_the_same_layers_under_another_name_hit() {
    if lacks("rule_108_the_same_layers_under_another_name_hit", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    assert_eq!(cached(&env, "FROM busybox\nRUN true\n", &[]), 0);
    drop(env.kiln(["tag", "busybox", "other:1"]).ok());
    assert_eq!(cached(&env, "FROM other:1\nRUN true\n", &[]), 1, "a name");
    let labelled = env.context("l", "FROM busybox\nLABEL a=b\n", &[]);
    drop(env.build("labelled:1", &labelled).ok());
    assert_eq!(
        cached(&env, "FROM labelled:1\nRUN true\n", &[]),
        1,
        "a manifest"
    );
}

#[test]
fn rule_109_addresses_of_hosts_do_not_count() {
    if lacks("rule_109_addresses_of_hosts_do_not_count", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    for (host, expected) in [("db:10.0.0.1", 0), ("db:10.0.0.2", 1), ("web:10.0.0.2", 0)] {
        let args = ["--add-host", host];
        let found = cached(&env, "FROM busybox\nRUN true\n", &args);
        assert_eq!(found, expected, "{host}");
    }
}
