// SPDX-License-Identifier: Apache-2.0
//! Hostile images and Dockerfiles.

use std::fs;
use std::os::unix::fs::symlink;

use crate::bed::{Bed, mount, secret};
use crate::harness::Case;

pub(crate) const CASES: &[Case] = &[
    (
        "image_with_links_for_proc_sys_dev_is_refused",
        builtin_links,
    ),
    ("image_with_a_link_for_etc_stays_inside", etc_link),
    ("cwd_through_a_magic_link_is_refused", magic_cwd),
    ("cwd_through_links_stays_inside", cwd_links),
    ("mount_target_in_proc_is_refused", proc_target),
    ("passwd_that_is_no_file_is_ignored", strange_passwd),
    ("program_through_proc_is_not_ours", own_program),
    ("other_processes_are_out_of_reach", processes),
];

fn builtin_links(bed: &Bed) {
    for (name, to) in [
        ("proc", "/"),
        ("dev", "/etc"),
        ("sys", "../../../tmp"),
        ("dev", "/proc/self/fd"),
    ] {
        let layer = bed.fresh("evil");
        symlink(to, layer.join(name)).unwrap();
        let mut step = bed.script("true");
        step.root = bed.root(&[&layer]);
        let ran = bed.run(&step);
        let expected =
            format!("cannot reach the mount target /{name}: Too many levels of symbolic links");
        assert!(
            ran.error().starts_with(&expected),
            "{name} -> {to}: {ran:?}"
        );
        assert_eq!(ran.changes(), [""; 0]);
    }
    let layer = bed.fresh("evil");
    fs::write(layer.join("proc"), "").unwrap();
    let mut step = bed.script("true");
    step.root = bed.root(&[&layer]);
    assert!(bed.run(&step).error().contains("/proc: Not a directory"));
}

fn etc_link(bed: &Bed) {
    let host = bed.fresh("host");
    for to in [
        "/var/x".to_owned(),
        format!("../../../../../..{}", host.display()),
    ] {
        let layer = bed.fresh("evil");
        symlink(&to, layer.join("etc")).unwrap();
        let mut step = bed.script("cat /etc/hosts; touch /etc/new");
        step.root = bed.root(&[&layer]);
        step.mounts = vec![mount("/etc/secret", secret("s"), true)];
        let ran = bed.run(&step);
        assert!(ran.stdout.contains("localhost"), "{ran:?}");
        assert_eq!(
            fs::read_dir(&host).unwrap().count(),
            0,
            "the host is untouched"
        );
    }
}

fn magic_cwd(bed: &Bed) {
    for number in 0..64 {
        let mut step = bed.script("pwd; ls ..");
        step.cwd = format!("/proc/self/fd/{number}");
        let ran = bed.run(&step);
        assert!(
            ran.error()
                .starts_with("cannot enter the working directory"),
            "{number}: {ran:?}"
        );
    }
    let layer = bed.fresh("evil");
    symlink("/proc/self/fd/9", layer.join("w")).unwrap();
    symlink("/proc/1/root", layer.join("r")).unwrap();
    for cwd in [
        "/w",
        "/r",
        "/proc/self/cwd",
        "/proc/self/root/../..",
        "/w/../../..",
    ] {
        let mut step = bed.script("pwd");
        step.root = bed.root(&[&layer]);
        step.cwd = cwd.into();
        assert!(bed.run(&step).status.is_err(), "{cwd}");
    }
}

fn cwd_links(bed: &Bed) {
    let host = bed.fresh("host");
    let layer = bed.fresh("evil");
    let up = format!("../../../../../../..{}", host.display());
    symlink(up, layer.join("w")).unwrap();
    let mut step = bed.script("pwd");
    step.root = bed.root(&[&layer]);
    step.cwd = "/w/deep".into();
    let ran = bed.run(&step);
    // Leads nowhere inside the root: refused, nothing made anywhere.
    assert!(ran.status.is_err(), "{ran:?}");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
}

fn proc_target(bed: &Bed) {
    let layer = bed.fresh("evil");
    symlink("/proc/self/attr", layer.join("a")).unwrap();
    for target in [
        "/proc/sys/kernel",
        "/proc",
        "/sys/kernel",
        "/a",
        "/tmp/../proc/1",
    ] {
        let mut step = bed.script("true");
        step.root = bed.root(&[&layer]);
        step.mounts = vec![mount(target, secret("x"), true)];
        let ran = bed.run(&step);
        assert!(ran.status.is_err(), "{target}: {ran:?}");
    }
}

fn strange_passwd(bed: &Bed) {
    for kind in ["link", "fifo", "directory", "large"] {
        let layer = bed.fresh("evil");
        fs::create_dir(layer.join("etc")).unwrap();
        let passwd = layer.join("etc/passwd");
        match kind {
            "link" => symlink("/proc/self/environ", &passwd).unwrap(),
            "fifo" => {
                let (kind, mode) = (
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::from_raw_mode(0o644),
                );
                rustix::fs::mknodat(rustix::fs::CWD, &passwd, kind, mode, 0).unwrap();
            }
            "directory" => fs::create_dir(&passwd).unwrap(),
            _ => fs::File::create(&passwd).unwrap().set_len(1 << 40).unwrap(),
        }
        let mut step = bed.script("grep ^Uid /proc/self/status | tr -d '\\t'");
        step.root = bed.root(&[&layer]);
        assert_eq!(bed.run(&step).stdout, "Uid:0000\n", "{kind}");
        step.root = bed.root(&[&layer]);
        step.user = "app".into();
        assert!(
            bed.run(&step).error().contains("no user or group `app`"),
            "{kind}"
        );
    }
}

fn own_program(bed: &Bed) {
    for init in [false, true] {
        let mut step = bed.script("readlink /proc/1/exe; cat /proc/1/environ | tr '\\0' '\\n'");
        step.init = init;
        let ran = bed.run(&step);
        let program = ran.stdout.lines().next().unwrap_or_default();
        assert_eq!(
            program,
            if init { "" } else { "/bin/busybox" },
            "init {init}: {ran:?}"
        );
    }
    let mut step = bed.args(&["/proc/self/exe", "true"]);
    step.user = "app".into();
    assert!(
        bed.run(&step).status.is_err(),
        "the zygote's own program must not run in a step"
    );
}

fn processes(bed: &Bed) {
    let own = std::process::id();
    let ran = bed.run(&bed.script(&format!("ls -d /proc/{own}; kill -0 {own}")));
    assert_ne!(ran.code(), Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "");
}
