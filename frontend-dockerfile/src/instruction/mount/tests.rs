// SPDX-License-Identifier: Apache-2.0
//! Every type of mount and its defaults. Its errors: `tests/instructions/mount.table`.

use super::*;

fn mount(text: &str) -> Result<Mount, String> {
    let spec = parse(&Word::new(text, Span::default())).map_err(|problem| problem.message)?;
    spec.resolve(&mut |value| Ok(value.replace("$v", "expanded")))
        .map_err(|problem| problem.message)
}

#[test]
fn rule_72_73_defaults_of_each_type() {
    for (text, expected) in [
        (
            "target=/x",
            Mount {
                kind: MountKind::Bind,
                target: Some("/x".into()),
                read_only: true,
                ..Mount::default()
            },
        ),
        (
            "type=bind,src=a,dst=/x,from=stage,rw",
            Mount {
                kind: MountKind::Bind,
                source: Some("a".into()),
                target: Some("/x".into()),
                from: Some("stage".into()),
                ..Mount::default()
            },
        ),
        (
            "type=cache,target=/c,sharing=locked,mode=0700,uid=5,id=k",
            Mount {
                kind: MountKind::Cache,
                target: Some("/c".into()),
                sharing: Sharing::Locked,
                mode: Some(0o700),
                uid: Some(5),
                id: Some("k".into()),
                ..Mount::default()
            },
        ),
    ] {
        assert_eq!(mount(text), Ok(expected), "{text}");
    }
}

#[test]
fn rule_74_defaults_of_types_without_files() {
    for (text, expected) in [
        (
            "type=tmpfs,destination=/t,size=1g",
            Mount {
                kind: MountKind::Tmpfs,
                target: Some("/t".into()),
                size_bytes: Some(1 << 30),
                ..Mount::default()
            },
        ),
        (
            "type=tmpfs,target=/t,size=1.5 KiB,readonly",
            Mount {
                kind: MountKind::Tmpfs,
                target: Some("/t".into()),
                size_bytes: Some(1536),
                read_only: true,
                ..Mount::default()
            },
        ),
        (
            "type=secret,id=s,required,env=TOKEN",
            Mount {
                kind: MountKind::Secret,
                id: Some("s".into()),
                required: true,
                read_only: true,
                env: Some("TOKEN".into()),
                ..Mount::default()
            },
        ),
        (
            "TYPE=ssh",
            Mount {
                kind: MountKind::Ssh,
                read_only: true,
                ..Mount::default()
            },
        ),
        (
            "\"target=/a,b\",source=$v",
            Mount {
                target: Some("/a,b".into()),
                source: Some("expanded".into()),
                read_only: true,
                ..Mount::default()
            },
        ),
    ] {
        assert_eq!(mount(text), Ok(expected), "{text}");
    }
}
