// SPDX-License-Identifier: Apache-2.0
//! Every type of mount, its defaults and its errors.

use super::*;

fn mount(text: &str) -> Result<Mount, String> {
    let spec = parse(&Word::new(text, Span::default())).map_err(|problem| problem.message)?;
    spec.resolve(&mut |value| Ok(value.replace("$v", "expanded")))
        .map_err(|problem| problem.message)
}

#[test]
fn defaults_of_each_type() {
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
fn defaults_of_types_without_files() {
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

#[test]
fn each_error_family_of_mounts() {
    for (text, message) in [
        ("type=bindd,target=/x", "unsupported mount type `bindd`"),
        ("type=bind", "bind mount needs a target"),
        ("tagret=/x", "unexpected key `tagret` in `--mount`"),
        (
            "target=/x,uid=1",
            "unexpected key `uid` for mount type `bind`",
        ),
        (
            "target=/x,sharing=locked",
            "unexpected key `sharing` for mount type `bind`",
        ),
        (
            "type=cache,target=/x,size=1",
            "unexpected key `size` for mount type `cache`",
        ),
        (
            "type=cache,target=/x,required",
            "unexpected key `required` for mount type `cache`",
        ),
        (
            "type=cache,target=/x,sharing=all",
            "unsupported sharing value `all`",
        ),
        (
            "type=cache,target=/x,mode=9",
            "invalid value `9` for `mode`",
        ),
        (
            "type=secret",
            "secret mount needs one of `id`, `source`, `target`",
        ),
        (
            "type=secret,id=a,source=b",
            "secret mount cannot have both `source` and `id`",
        ),
        (
            "type=secret,id=a,rw",
            "unexpected key `rw` for mount type `secret`",
        ),
        (
            "type=secret,id=a,from=b",
            "unexpected key `from` for mount type `secret`",
        ),
        ("target=/x,ro=maybe", "invalid value `maybe` for `ro`"),
        (
            "target",
            "invalid field `target`: it must be a key=value pair",
        ),
        (
            "from=$stage,target=/x",
            "`from=$stage`: `from` doesn't support variable expansion",
        ),
        (
            "source=$v,tagret=/x",
            "unexpected key `tagret` in `--mount`",
        ),
        ("a\"b", "`a\"b` is not a list of fields separated by commas"),
        (
            "type=tmpfs,target=/x,size=big",
            "invalid value `big` for `size`",
        ),
    ] {
        assert_eq!(mount(text), Err(message.to_owned()), "{text}");
    }
}
