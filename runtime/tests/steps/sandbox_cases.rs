// SPDX-License-Identifier: Apache-2.0
//! What a step sees and may do.

use std::os::unix::fs::MetadataExt;

use runtime::{Limits, Network, RunError, Rung, Ulimit, UlimitKind};

use crate::bed::Bed;
use crate::harness::Case;

pub(crate) const CASES: &[Case] = &[
    ("exit_codes_come_through", exit_codes),
    ("both_streams_come_through", streams),
    ("program_errors_are_named", program_errors),
    ("capabilities_and_filter_are_dockers", status),
    ("only_three_descriptors", descriptors),
    ("kernel_files_are_hidden_or_read_only", masks),
    ("administration_is_refused", administration),
    ("network_none_has_only_loopback", network),
    ("users_and_groups", users),
    ("home_umask_hostname_limits", surroundings),
    ("hosts_and_resolv_conf", hosts),
    ("devices_work_and_new_ones_do_not", devices),
    ("missing_cwd_is_made", cwd),
    ("owners_can_be_changed", owners),
    ("limits_hold_or_are_reported", limits),
    ("read_only_root", read_only_root),
];

fn exit_codes(bed: &Bed) {
    for (script, code) in [
        ("true", 0),
        ("exit 3", 3),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("nothing-like-this 2>&1", 127),
    ] {
        let ran = bed.run(&bed.script(script));
        assert_eq!(ran.code(), Some(code), "{script}: {ran:?}");
    }
}

fn streams(bed: &Bed) {
    let ran = bed.run(&bed.script("echo out; echo err >&2; echo -n rest"));
    assert_eq!((&*ran.stdout, &*ran.stderr), ("out\nrest", "err\n"));
    let long = bed.run(&bed.script("dd if=/dev/zero bs=1000 count=1000 2>/dev/null | tr '\\0' x"));
    assert_eq!(long.stdout.len(), 1_000_000, "nothing is clipped");
}

fn program_errors(bed: &Bed) {
    let ran = bed.run(&bed.args(&["foo", "bar"]));
    assert!(matches!(&ran.status, Err(RunError::ProgramNotFound { program }) if program == "foo"));
    assert_eq!(ran.error(), "cannot run `foo`: not found in PATH");
    assert_eq!(ran.status.unwrap_err().shell_code(), 127);
    let ran = bed.run(&bed.args(&["/etc/plain"]));
    assert_eq!(
        ran.error(),
        "cannot run `/etc/plain`: Permission denied (os error 13)"
    );
    assert_eq!(ran.status.unwrap_err().shell_code(), 126);
    let mut step = bed.script("true");
    step.user = "nobody-here".into();
    assert_eq!(
        bed.run(&step).error(),
        "no user or group `nobody-here` in the root file system"
    );
    let step = bed.args(&["a\0b"]);
    assert!(bed.run(&step).error().contains("a NUL byte"));
}

fn status(bed: &Bed) {
    let status =
        bed.output("grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status | tr -d '\\t '");
    let expected = "CapInh:0000000000000000 CapPrm:00000000a80425fb CapEff:00000000a80425fb \
        CapBnd:00000000a80425fb CapAmb:0000000000000000 NoNewPrivs:0 Seccomp:2";
    assert_eq!(
        status.split_whitespace().collect::<Vec<_>>().join(" "),
        expected
    );
    let mut step = bed.script("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | tr -d '\\t '");
    step.user = "app".into();
    let status = bed.run(&step).stdout;
    let expected = "CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:00000000a80425fb";
    assert_eq!(
        status.split_whitespace().collect::<Vec<_>>().join(" "),
        expected
    );
}

fn descriptors(bed: &Bed) {
    assert_eq!(bed.output("ls -1 /proc/1/fd; true"), "0\n1\n2");
    assert_eq!(
        bed.output("all=$(ls /proc); echo \"$all\" | grep '^[0-9]' | wc -l"),
        "2",
        "own processes only: this shell and ls"
    );
}

fn masks(bed: &Bed) {
    for (script, expected) in [
        ("cat /proc/kcore | wc -c", "0"),
        (
            "cat /proc/keys /proc/timer_list /proc/interrupts | wc -c",
            "0",
        ),
        ("ls /sys/firmware | wc -l", "0"),
        ("echo 1 > /proc/sys/kernel/domainname", ""),
        ("echo h > /proc/sysrq-trigger", ""),
        ("mkdir /sys/fs/cgroup/x", ""),
        ("ls /sys/fs/cgroup | wc -l", "0"),
        ("echo x > /proc/kcore", ""),
        ("touch /sys/firmware/x", ""),
    ] {
        let ran = bed.run(&bed.script(script));
        assert_eq!(ran.stdout.trim(), expected, "{script}: {ran:?}");
        assert_eq!(
            ran.code() == Some(0),
            !expected.is_empty(),
            "{script}: {ran:?}"
        );
    }
}

fn administration(bed: &Bed) {
    for script in [
        "mount -t tmpfs none /tmp",
        "unshare -U true",
        "unshare -m true",
        "mount -o remount,rw /proc/sys",
        "umount /proc/kcore",
        "hostname other",
        "mknod /tmp/sda b 8 0 && dd if=/tmp/sda of=/dev/null count=1",
    ] {
        let ran = bed.run(&bed.script(script));
        assert_ne!(ran.code(), Some(0), "{script}: {ran:?}");
    }
}

fn network(bed: &Bed) {
    let mut step =
        bed.script("sed 1,2d /proc/net/dev | tr -d ' ' | sed 's/:.*//'; ip addr show lo");
    step.network = Network::None;
    let ran = bed.run(&step);
    assert!(ran.stdout.starts_with("lo\n"), "{ran:?}");
    assert!(
        ran.stdout.contains("127.0.0.1/8"),
        "loopback is up: {ran:?}"
    );
    assert_eq!(
        ran.stdout
            .lines()
            .filter(|line| line.ends_with("lo"))
            .count(),
        2,
        "{ran:?}"
    );
}

fn users(bed: &Bed) {
    for (user, expected) in [
        ("", "0 0 0 /root"),
        ("app", "1000 1001 1001 44 /home/app"),
        ("1000", "1000 1001 1001 44 /home/app"),
        ("app:video", "1000 44 44 /home/app"),
        ("7:8", "7 8 8 /"),
        ("4242", "4242 0 0 /"),
    ] {
        let mut step = bed.script("echo $(id -u) $(id -g) $(id -G) $HOME");
        step.user = user.into();
        let ran = bed.run(&step);
        assert_eq!(ran.stdout.trim(), expected, "USER {user}: {ran:?}");
    }
}

fn surroundings(bed: &Bed) {
    assert_eq!(
        bed.output("umask; hostname; ulimit -n; pwd"),
        "0022\nbuildkitsandbox\n1024\n/"
    );
    let mut step = bed.script("echo $HOME; ulimit -n; ulimit -c");
    step.env.push(("HOME".to_owned(), "/elsewhere".to_owned()));
    let limit = |kind, soft| Ulimit {
        kind,
        soft: Some(soft),
        hard: Some(soft),
    };
    step.limits.ulimits = vec![limit(UlimitKind::Nofile, 99), limit(UlimitKind::Core, 0)];
    assert_eq!(bed.run(&step).stdout, "/elsewhere\n99\n0\n");
}

fn hosts(bed: &Bed) {
    let mut step = bed.script("cat /etc/hosts; echo x >> /etc/hosts; echo x > /etc/resolv.conf");
    step.extra_hosts
        .push(("db".to_owned(), "10.0.0.7".parse().unwrap()));
    let ran = bed.run(&step);
    assert!(ran.stdout.contains("localhost buildkitsandbox"), "{ran:?}");
    assert!(ran.stdout.contains("10.0.0.7\tdb"), "{ran:?}");
    assert_ne!(ran.code(), Some(0), "both are read-only");
    assert_eq!(ran.changes(), [""; 0]);
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(bed.output("cat /etc/resolv.conf"), host.trim_end());
}

fn devices(bed: &Bed) {
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c \
        && echo x > /dev/shm/x && readlink /dev/fd && echo y > /dev/stderr && ls /dev";
    let ran = bed.run(&bed.script(script));
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    let names = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let listed: Vec<_> = ran.stdout.lines().skip(3).collect();
    assert_eq!(listed.join(" "), names);
    if bed.runtime.rung() == Rung::Root {
        // Allowed to make, as packages expect; not to open.
        let made = bed.run(
            &bed.script("mknod /tmp/n c 1 3 && mknod /dev/n c 1 3 && ! cat /tmp/n && ! cat /dev/n"),
        );
        assert_eq!(made.code(), Some(0), "{made:?}");
        let modes = bed.output("stat -c '%a %t:%T' /dev/null /dev/tty; chmod 600 /dev/null");
        assert_eq!(modes, "666 1:3\n666 5:0");
    }
    assert!(std::fs::metadata("/dev/null").is_ok_and(|null| {
        std::os::unix::fs::PermissionsExt::mode(&null.permissions()) & 0o777 == 0o666
    }));
}

fn cwd(bed: &Bed) {
    let mut step = bed.script("pwd; stat -c '%a %u:%g' .");
    step.cwd = "/a/b/c".into();
    step.user = "app".into();
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "/a/b/c\n755 0:0\n", "{ran:?}");
    let mut step = bed.script("stat -c '%a %u:%g' .");
    step.cwd = "/a/b/c".into();
    step.user = "app".into();
    step.cwd_owner = runtime::CwdOwner::User;
    assert_eq!(bed.run(&step).stdout, "755 1000:1001\n");
    let mut step = bed.script("pwd");
    step.cwd = "/etc/passwd".into();
    assert!(
        bed.run(&step)
            .error()
            .starts_with("cannot enter the working directory /etc/passwd")
    );
}

fn owners(bed: &Bed) {
    let script = "touch /f && chown 1000:1001 /f && chmod 4755 /f && mkdir /d && chown 42:43 /d && \
        stat -c '%a %u:%g' /f /d && rm -r /tmp && mkdir /tmp && mv /data /data2 && ls /data2/file";
    let ran = bed.run(&bed.script(script));
    assert_eq!(
        ran.stdout, "4755 1000:1001\n755 42:43\n/data2/file\n",
        "{ran:?}"
    );
    let file = std::fs::metadata(ran.upper.join("f")).unwrap();
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o7777),
        (1000, 1001, 0o4755)
    );
}

fn limits(bed: &Bed) {
    let mut step = bed.script("for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2 & done; wait; echo all");
    step.limits = Limits {
        pids_max: Some(4),
        memory_bytes: Some(64 << 20),
        ..Limits::default()
    };
    let ran = bed.run(&step);
    let status = ran.status.as_ref().unwrap();
    if status.unenforced.iter().any(|name| name == "pids") {
        assert_eq!(ran.stdout, "all\n", "{ran:?}");
    } else {
        assert!(ran.stderr.contains("fork"), "{ran:?}");
    }
}

fn read_only_root(bed: &Bed) {
    let mut step = bed.script("touch /x || echo refused; touch /dev/shm/x && echo writable");
    step.read_only_root = true;
    let ran = bed.run(&step);
    assert_eq!(ran.stdout, "refused\nwritable\n", "{ran:?}");
    step.root.upper = None;
    step.read_only_root = false;
    assert_eq!(bed.run(&step).stdout, "refused\nwritable\n");
}
