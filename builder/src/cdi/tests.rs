// SPDX-License-Identifier: Apache-2.0
//! Which devices a step gets, by name and consent.

use super::*;

const GPU: &str = r#"{
    "cdiVersion": "0.6.0", "kind": "acme.example/gpu",
    "annotations": {"org.mobyproject.buildkit.device.class": "gpu"},
    "containerEdits": {"env": ["DRIVER=1"]},
    "devices": [
        {"name": "0", "containerEdits": {
            "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null"}],
            "mounts": [{"hostPath": "/usr/lib", "containerPath": "/lib/gpu", "options": ["ro", "rbind"]}],
            "additionalGids": [44]}},
        {"name": "1", "containerEdits": {"deviceNodes": [{"path": "/dev/zero"}]}},
        {"name": "hooked", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/x"}]}},
        {"name": "owned", "containerEdits": {"deviceNodes": [{"path": "/dev/zero", "uid": 7}]}}
    ]}"#;
const FREE: &str = r#"{
    "cdiVersion": "0.6.0", "kind": "acme.example/free",
    "devices": [{"name": "a", "containerEdits": {},
        "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"}}]}"#;

fn registry() -> Registry {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("gpu.json", GPU),
        ("free.json", FREE),
        ("broken.json", "{"),
        ("other.yaml", "kind: a/b\n"),
        ("note.txt", "no description"),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    Registry::read_in(&[Path::new("/no/such/directory"), directory.path()])
}

fn consent(all: bool, names: &[&str], aliases: &[(&str, &str)]) -> DeviceConsent {
    let pair = |(alias, name): &(&str, &str)| ((*alias).to_owned(), (*name).to_owned());
    DeviceConsent {
        all,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        aliases: aliases.iter().map(pair).collect(),
    }
}

/// Returns the paths of the nodes that a step gets, or the beginning of what it is told.
fn nodes(wanted: &str, consent: &DeviceConsent) -> Result<Vec<String>, String> {
    let edits = registry().edits(&[(wanted.to_owned(), false)], consent);
    let edits = edits.map_err(|error| error.to_string())?;
    let nodes = edits.into_iter().flat_map(|edits| edits.device_nodes);
    Ok(nodes.map(|node| node.path).collect())
}

#[test]
fn names_mean_what_they_mean_in_buildkit() {
    let all = consent(true, &[], &[]);
    for (name, expected) in [
        ("acme.example/gpu=0", vec!["/dev/gpu0"]),
        ("acme.example/gpu=1", vec!["/dev/zero"]),
        ("acme.example/gpu", vec!["/dev/gpu0"]),
        ("acme.example/free", vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(nodes(name, &all), Ok(expected), "{name}");
    }
    for (name, message) in [
        ("acme.example/gpu=7", "is required and not described"),
        ("acme.example/gpu=7", "kiln reads JSON"),
        ("acme.example/gpu=hooked", "hooks"),
        ("acme.example/gpu=owned", "another owner"),
        ("acme.example/gpu=*", "hooks"),
        ("gpu", "hooks"),
    ] {
        let error = nodes(name, &all).unwrap_err();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[test]
fn a_device_is_for_those_who_were_allowed_it() {
    let wanted = "acme.example/gpu=1";
    for (rule, consent, allowed) in [
        ("nothing allowed", consent(false, &[], &[]), false),
        ("all allowed", consent(true, &[], &[]), true),
        ("by name", consent(false, &[wanted], &[]), true),
        (
            "its kind means the first",
            consent(false, &["acme.example/gpu"], &[]),
            false,
        ),
        ("by class", consent(false, &["gpu"], &[]), true),
        (
            "another",
            consent(false, &["acme.example/gpu=0"], &[]),
            false,
        ),
    ] {
        assert_eq!(nodes(wanted, &consent).is_ok(), allowed, "{rule}");
    }
    let alias = consent(false, &[], &[("mine", wanted)]);
    assert_eq!(nodes("mine", &alias), Ok(vec!["/dev/zero".to_owned()]));
    assert!(nodes(wanted, &alias).is_err(), "only under its other name");
    let nothing = consent(false, &[], &[]);
    assert!(
        nodes("acme.example/free=a", &nothing).is_ok(),
        "allowed by its description"
    );
}

#[test]
fn edits_of_a_file_come_once_and_first() {
    let wanted = [
        "acme.example/gpu=0",
        "acme.example/gpu=1",
        "acme.example/gpu=0",
    ];
    let wanted: Vec<(String, bool)> = wanted.iter().map(|name| ((*name).into(), false)).collect();
    let edits = registry().edits(&wanted, &consent(true, &[], &[])).unwrap();
    assert_eq!(edits.len(), 3);
    assert_eq!(edits[0].env, ["DRIVER=1"]);
    assert_eq!(edits[1].additional_gids, [44]);
    assert!(edits[1].mounts[0].is_read_only());
    assert_eq!(edits[1].device_nodes[0].host_path(), Path::new("/dev/null"));
    let optional = [("acme.example/none=0".to_owned(), true)];
    let edits = registry().edits(&optional, &consent(false, &[], &[]));
    assert!(edits.is_ok_and(|edits| edits.is_empty()));
}
