// SPDX-License-Identifier: Apache-2.0
//! Mounts, and that they leave no trace.

use std::fs;
use std::os::unix::fs::symlink;

use runtime::{MountSource, Overlay, Rung};

use crate::bed::{Bed, mount, secret};
use crate::harness::Case;

pub(crate) const CASES: &[Case] = &[
    ("step_without_changes_leaves_upper_empty", nothing),
    ("mount_targets_leave_no_trace", traces),
    ("mounts_below_mounts", nested),
    ("bind_of_another_stage", stages),
    ("writes_to_a_bind_are_dropped", dropped),
    ("selectors_stay_inside", selectors),
    ("link_that_leads_nowhere_as_target", dangling),
    ("hidden_stub_is_made_and_removed", hidden),
    ("empty_image_runs_nothing", empty),
    ("host_path", host_path),
    ("many_layers", layers),
];

const NONE: [&str; 0] = [];

fn tmpfs() -> MountSource {
    MountSource::Tmpfs {
        size_bytes: Some(1 << 20),
        mode: 0o1777,
        uid: 0,
        gid: 0,
    }
}

fn directory(path: &std::path::Path, selector: &str) -> MountSource {
    MountSource::Directory {
        path: path.to_owned(),
        selector: selector.to_owned(),
    }
}

fn nothing(bed: &Bed) {
    let ran = bed
        .run(&bed.script("cat /etc/hosts /etc/resolv.conf > /dev/null; ls -R /dev > /dev/shm/x"));
    assert_eq!((ran.code(), ran.changes()), (Some(0), vec![]), "{ran:?}");
}

fn traces(bed: &Bed) {
    let cache = bed.fresh("cache");
    let mut step = bed.script(
        "set -e; echo t > /t/f; cat /run/secrets/key; echo c > /root/.cache/f; ! echo x > /run/secrets/key; \
         stat -c %a:%u /run/secrets/key; dd if=/dev/zero of=/t/big bs=2M count=1 2>/dev/null || echo full",
    );
    step.mounts = vec![
        mount("/t", tmpfs(), false),
        mount("/run/secrets/key", secret("canary\n"), true),
        mount("/root/.cache", directory(&cache, ""), false),
        mount("/opt/ca.pem", secret("ca"), true),
    ];
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "canary\n400:0\nfull\n", "{ran:?}");
    assert_eq!(ran.changes(), NONE);
    assert_eq!(fs::read_to_string(cache.join("f")).unwrap(), "c\n");
    let mut step = bed.script("echo kept > /root/kept");
    step.mounts = vec![mount("/root/.cache", directory(&cache, ""), true)];
    let ran = bed.run(&step);
    assert_eq!(ran.changes(), ["root", "root/kept"], "{ran:?}");
    let mut step = bed.script("touch /root/.cache/no");
    step.mounts = vec![mount("/root/.cache", directory(&cache, ""), true)];
    assert_ne!(bed.run(&step).code(), Some(0), "read-only");
}

fn nested(bed: &Bed) {
    let cache = bed.fresh("cache");
    let mut step =
        bed.script("echo 1 > /c/sub/dir/f; cat /c/key; echo 2 > /dev/shm/x/f; ls /dev/shm");
    step.mounts = vec![
        mount("/c", directory(&cache, ""), false),
        mount("/c/sub/dir", tmpfs(), false),
        mount("/c/key", secret("k\n"), true),
        mount("/dev/shm/x", tmpfs(), false),
    ];
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "k\nx\n", "{ran:?}");
    assert_eq!(ran.changes(), NONE);
    assert!(!cache.join("sub/dir/f").exists());
}

fn stage(bed: &Bed) -> Overlay {
    let layer = bed.fresh("stage");
    fs::create_dir_all(layer.join("out/deep")).unwrap();
    fs::write(layer.join("out/deep/file"), "from stage\n").unwrap();
    symlink("/out/deep", layer.join("link")).unwrap();
    symlink("/", layer.join("rootlink")).unwrap();
    Overlay {
        lower: vec![layer],
        upper: None,
    }
}

fn stages(bed: &Bed) {
    for (selector, path) in [
        ("/out", "/m/deep/file"),
        ("", "/m/out/deep/file"),
        ("link", "/m/file"),
        ("../../out/deep/file", "/m"),
        ("rootlink", "/m/out/deep/file"),
    ] {
        let mut step = bed.script(&format!("cat {path}; touch /m/x"));
        let source = MountSource::Overlay {
            overlay: stage(bed),
            selector: selector.to_owned(),
        };
        step.mounts = vec![mount("/m", source, true)];
        let ran = bed.run(&step);
        assert_eq!(ran.stdout, "from stage\n", "{selector}: {ran:?}");
        assert!(!ran.changes().contains(&"m/x".to_owned()));
        assert_eq!(ran.changes(), NONE, "{selector}");
    }
}

fn dropped(bed: &Bed) {
    let mut overlay = stage(bed);
    let upper = bed.fresh("dropped");
    overlay.upper = Some((upper.clone(), bed.fresh("dropped-work")));
    let mut step = bed.script("echo changed > /m/file && cat /m/file");
    let source = MountSource::Overlay {
        overlay: overlay.clone(),
        selector: "out/deep".to_owned(),
    };
    step.mounts = vec![mount("/m", source, false)];
    let ran = bed.run(&step);
    assert_eq!((ran.stdout.as_str(), ran.changes()), ("changed\n", vec![]));
    assert!(
        upper.join("out/deep/file").exists(),
        "the caller deletes this"
    );
    assert_eq!(
        fs::read_to_string(overlay.lower[0].join("out/deep/file")).unwrap(),
        "from stage\n"
    );
}

fn selectors(bed: &Bed) {
    let cache = bed.fresh("cache");
    symlink("/etc", cache.join("out")).unwrap();
    symlink("../../../../etc", cache.join("up")).unwrap();
    symlink("/proc/self/fd", cache.join("magic")).unwrap();
    for selector in ["out", "up", "../../etc", "missing", "magic/3"] {
        let mut step = bed.script("ls /m");
        step.mounts = vec![mount("/m", directory(&cache, selector), true)];
        let ran = bed.run(&step);
        assert!(
            ran.error()
                .starts_with("cannot open the source of the mount at /m"),
            "{selector}: {ran:?}"
        );
    }
}

fn dangling(bed: &Bed) {
    let layer = bed.fresh("layer");
    fs::create_dir(layer.join("etc")).unwrap();
    symlink(
        "../run/systemd/resolve/stub-resolv.conf",
        layer.join("etc/resolv.conf"),
    )
    .unwrap();
    symlink("/nowhere/at/all", layer.join("data")).unwrap();
    let mut step =
        bed.script("cat /etc/resolv.conf > /dev/null && echo x > /data/file && echo done");
    step.root = bed.root(&[&layer]);
    step.mounts = vec![mount("/data", tmpfs(), false)];
    let ran = bed.run(&step);
    assert_eq!(
        (ran.stdout.as_str(), ran.changes()),
        ("done\n", vec![]),
        "{ran:?}"
    );
}

fn hidden(bed: &Bed) {
    let layer = bed.fresh("layer");
    fs::create_dir_all(layer.join("etc/kept")).unwrap();
    // An opaque directory hides the stubs below it.
    let user = bed.runtime.rung() != Rung::Root;
    let name = if user {
        "user.overlay.opaque"
    } else {
        "trusted.overlay.opaque"
    };
    let path = layer.join("etc");
    rustix::fs::setxattr(&path, name, b"y", rustix::fs::XattrFlags::empty()).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let mut step = bed.script("cat /etc/hosts; cat /etc/deep/er/key; ls /etc");
    step.root = bed.root(&[&layer]);
    step.mounts = vec![mount("/etc/deep/er/key", secret("k\n"), true)];
    let ran = bed.run(&step);
    assert!(
        ran.stdout.ends_with("k\ndeep\nhosts\nkept\nresolv.conf\n"),
        "{ran:?}"
    );
    assert_eq!(ran.changes(), ["etc"], "only the copied-up directory");
    let after = fs::metadata(ran.upper.join("etc"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after, "its time is put back");
}

fn empty(bed: &Bed) {
    let mut step = bed.args(&["/bin/true"]);
    step.root = Overlay::default();
    assert_eq!(
        bed.run(&step).error(),
        "cannot run `/bin/true`: no such file"
    );
    step.root.upper = Some((bed.fresh("upper"), bed.fresh("work")));
    assert_eq!(
        bed.run(&step).error(),
        "cannot run `/bin/true`: no such file"
    );
}

fn host_path(bed: &Bed) {
    let host = bed.fresh("host");
    fs::write(host.join("file"), "host\n").unwrap();
    let mut step = bed.script("cat /m/file /one; echo new > /m/new; touch /one");
    step.mounts = vec![
        mount("/m", MountSource::HostPath(host.clone()), false),
        mount("/one", MountSource::HostPath(host.join("file")), true),
    ];
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "host\nhost\n", "{ran:?}");
    assert_ne!(ran.code(), Some(0), "the file is read-only");
    assert_eq!(fs::read_to_string(host.join("new")).unwrap(), "new\n");
    assert_eq!(ran.changes(), NONE);
}

fn layers(bed: &Bed) {
    let mut root = bed.root(&[]);
    for number in 0..150 {
        let layer = bed.fresh("a-layer-with-quite-a-long-name-that-adds-up");
        fs::write(layer.join(format!("f{number}")), "").unwrap();
        root.lower.insert(0, layer);
    }
    let mut step = bed.script("ls / | grep -c '^f[0-9]'");
    step.root = root;
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "150\n", "{ran:?}");
}
