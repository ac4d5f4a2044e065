// SPDX-License-Identifier: Apache-2.0
//! What changes a key and what does not, rule by rule.

use std::collections::BTreeMap;

use graph::{CacheSharing, ExtraHost, FileAction, Mount, ProxyEnv, SourceOp, VertexMeta};

use super::*;

fn run() -> RunOp {
    RunOp {
        args: vec!["/bin/sh".into(), "-c".into(), "make".into()],
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        mounts: vec![Mount::root()],
        ..RunOp::default()
    }
}

fn key_of(op: Op) -> CacheKey {
    let mut graph = Graph::new();
    let source = SourceOp {
        identifier: "docker-image://docker.io/library/base:latest".into(),
        attrs: BTreeMap::new(),
    };
    let base = graph.add(Op::Source(source), vec![], None, VertexMeta::default());
    graph.add(op, vec![Edge::first(base); 2], None, VertexMeta::default());
    let keys = keys(&graph);
    let fixed = CacheKey::from_bytes([7; 32]);
    keys[1].combine(&[fixed, fixed])
}

#[test]
fn what_counts_in_a_run() {
    type Change = fn(&mut RunOp);
    let base = key_of(Op::Run(Box::new(run())));
    let changes: [(&str, bool, Change); 9] = [
        ("arguments count", true, |op| op.args.push("x".into())),
        ("every variable counts", true, |op| {
            op.env.push("A=1".into());
        }),
        ("the user counts", true, |op| op.user = "nobody".into()),
        ("the directory counts", true, |op| op.cwd = "/src".into()),
        ("network mode counts", true, |op| {
            op.network = graph::NetworkMode::None;
        }),
        ("names of extra hosts count", true, |op| {
            op.extra_hosts.push(ExtraHost {
                host: "db".into(),
                ip: "10.0.0.1".into(),
            });
        }),
        ("proxy variables don't count", false, |op| {
            op.proxy_env = Some(ProxyEnv {
                http_proxy: "http://p".into(),
                ..ProxyEnv::default()
            });
        }),
        ("a mount counts", true, |op| {
            op.mounts.push(cache_mount("a"));
        }),
        ("nothing changed", false, |_| {}),
    ];
    for (rule, counts, change) in changes {
        let mut op = run();
        change(&mut op);
        assert_eq!(key_of(Op::Run(Box::new(op))) != base, counts, "{rule}");
    }
}

fn cache_mount(id: &str) -> Mount {
    Mount {
        input: None,
        selector: String::new(),
        dest: "/cache".into(),
        output: None,
        readonly: false,
        kind: MountKind::Cache {
            id: id.into(),
            sharing: CacheSharing::Shared,
        },
    }
}

#[test]
fn cache_mount_ids_and_host_addresses_do_not_count() {
    let with = |id: &str, ip: &str| {
        let mut op = run();
        op.mounts.push(cache_mount(id));
        op.extra_hosts.push(ExtraHost {
            host: "db".into(),
            ip: ip.into(),
        });
        key_of(Op::Run(Box::new(op)))
    };
    assert_eq!(with("a", "10.0.0.1"), with("b", "10.0.0.2"));
}

#[test]
fn only_the_base_name_of_a_copy_source_counts() {
    let with = |src: &str, dest: &str| {
        key_of(Op::File(FileOp {
            actions: vec![FileAction {
                input: ActionInput::Input(0),
                secondary: ActionInput::Input(1),
                output: Some(0),
                kind: FileActionKind::Copy(Box::new(CopyAction {
                    src: src.into(),
                    dest: dest.into(),
                    ..CopyAction::default()
                })),
            }],
        }))
    };
    assert_eq!(with("/a/file", "/x"), with("/b/file", "/x"));
    assert_ne!(with("/a/file", "/x"), with("/a/other", "/x"));
    assert_ne!(with("/a/file", "/x"), with("/a/file", "/y"));
}

#[test]
fn copy_reads_its_source_by_content_and_its_target_by_key() {
    let file = FileOp {
        actions: vec![FileAction {
            input: ActionInput::Input(0),
            secondary: ActionInput::Input(1),
            output: Some(0),
            kind: FileActionKind::Copy(Box::default()),
        }],
    };
    let selectors = file_selectors(&file, 2);
    assert!(selectors[0].is_none());
    assert_eq!(selectors[1].as_ref().map(Vec::len), Some(1));
}

#[test]
fn wildcards_are_told_from_names() {
    for (path, expected) in [
        ("/a*", true),
        ("/a?b", true),
        ("/[a]", true),
        ("/a\\*", false),
        ("/a", false),
    ] {
        assert_eq!(has_wildcard(path), expected, "{path}");
    }
}

#[test]
fn asking_the_registry_again_changes_no_key() {
    let key = |attrs: &[(&str, &str)]| {
        let attrs = attrs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        key_of(Op::Source(SourceOp {
            identifier: "docker-image://docker.io/library/other:latest".into(),
            attrs: attrs.collect(),
        }))
    };
    assert_eq!(key(&[]), key(&[("image.resolvemode", "pull")]));
    assert_ne!(key(&[]), key(&[("image.layerlimit", "1")]));
}
