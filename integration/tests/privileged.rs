// SPDX-License-Identifier: Apache-2.0
//! What a RUN step may and may not do, as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration::image::{ImageLayout, files_with};
use integration::peers::BUSYBOX;
use integration::{Finished, Program, Requirement, TestEnv, kiln_binary, lacks};

/// Bytes that are looked for wherever a secret could end up.
const CANARY: &str = "canary-8f2b1c77";

/// What every test here needs.
const ROOT: &[Requirement] = &[BUSYBOX, Requirement::Root];

/// Builds `lines` on busybox.
fn build(env: &TestEnv, lines: &str) -> Program {
    let context = env.context("c", &format!("FROM busybox\n{lines}"), &[]);
    env.build("step:1", &context)
}

/// Runs `command` as a step, with flags of RUN before it, and returns what the build printed.
fn step(env: &TestEnv, command: &str) -> Finished {
    build(env, &format!("RUN {command}\n")).ok()
}

/// Ends the test unless a step printed each line.
fn prints(env: &TestEnv, command: &str, lines: &[&str]) {
    let finished = step(env, command);
    for line in lines {
        let found = finished.text().lines().any(|shown| shown.ends_with(line));
        assert!(found, "no line `{line}`: {finished}");
    }
}

#[test]
fn a_step_is_confined() {
    if lacks("a_step_is_confined", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    // Docs: moby's default capabilities; a filter of system calls is mode 2.
    let status = "grep -E '^(CapEff|CapPrm|CapBnd|Seccomp):' /proc/self/status | tr -s '\\t ' ' '";
    prints(
        &env,
        status,
        &[
            "CapEff: 00000000a80425fb",
            "CapPrm: 00000000a80425fb",
            "CapBnd: 00000000a80425fb",
            "Seccomp: 2",
        ],
    );
    for (what, command) in [
        ("mounting", "! mount -t tmpfs none /tmp"),
        (
            "device nodes of disks",
            "! dd if=/dev/vda of=/dev/null count=1 2>/dev/null",
        ),
        ("kernel memory", "test ! -s /proc/kcore"),
        (
            "kernel settings",
            "! sh -c 'cat /proc/sys/kernel/panic > /proc/sys/kernel/panic'",
        ),
        ("sysfs", "! touch /sys/kernel/x"),
        ("sysrq", "! sh -c 'echo h > /proc/sysrq-trigger'"),
        (
            "processes of others",
            "test $(ls -d /proc/[0-9]* | wc -l) -lt 6",
        ),
        (
            "the host's root",
            &format!("test ! -e {}", env.root().display()),
        ),
        (
            "its own null device",
            "echo x > /dev/null && test -c /dev/null",
        ),
        (
            "time for others",
            "date -s @$(date +%s) 2>&1 | grep -q 'not permitted'",
        ),
    ] {
        let finished = build(&env, &format!("RUN {command}\n")).run();
        assert!(finished.status.success(), "{what}: {finished}");
    }
}

#[test]
fn a_step_inherits_three_descriptors() {
    if lacks("a_step_inherits_three_descriptors", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    // Without a shell, which keeps descriptors of its own; 3 is the directory that `ls` reads.
    let finished = build(&env, "RUN [\"ls\", \"/proc/self/fd\"]\n").ok();
    let text = finished.text();
    let shown = text.lines().filter_map(|line| line.strip_prefix("#2 0."));
    let names: Vec<&str> = shown.filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(names, ["0", "1", "2", "3"], "{finished}");
}

#[test]
fn a_step_knows_where_and_who_it_is() {
    if lacks("a_step_knows_where_and_who_it_is", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    prints(
        &env,
        "echo pid $$ $(hostname) $(umask) $(pwd)",
        &["pid 1 buildkitsandbox 0022 /"],
    );
    let users = "USER builder\nWORKDIR /home/builder\nRUN id\nUSER 1000:2000\nRUN id && pwd\n";
    let finished = build(&env, users).ok();
    for expected in [
        "uid=1000(builder) gid=1000(builder) groups=1000(builder),2000(extra)",
        "uid=1000(builder) gid=2000(extra)",
        " /home/builder",
    ] {
        assert!(
            finished.text().contains(expected),
            "no `{expected}`: {finished}"
        );
    }
    let unknown = build(&env, "USER nobody-here\nRUN id\n").run();
    drop(unknown.code(1).says("nobody-here"));
}

#[test]
fn what_a_step_leaves_running_ends_with_it() {
    if lacks("what_a_step_leaves_running_ends_with_it", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let finished = step(&env, "sleep 61.61 & (sleep 61.61 &) ; echo started");
    assert!(finished.took < Duration::from_secs(20), "{finished}");
    sleeper_is_gone("61.61");
}

/// Ends the test unless no process has `argument`, after a moment to die.
fn sleeper_is_gone(argument: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while has_process(argument) {
        assert!(Instant::now() < deadline, "a process outlived its step");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn has_process(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        line.split(|byte| *byte == 0)
            .any(|word| word == argument.as_bytes())
    })
}

#[test]
fn an_interrupt_stops_the_whole_step() {
    if lacks("an_interrupt_stops_the_whole_step", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let mut running = build(&env, "RUN echo under way; sh -c 'sleep 62.62'; true\n").start();
    running.wait_for("the step's output", Duration::from_secs(20), |line| {
        line.ends_with(" under way").then_some(())
    });
    running.interrupt();
    let status = running.wait(Duration::from_secs(20));
    assert!(!status.success(), "an interrupted build does not succeed");
    sleeper_is_gone("62.62");
    drop(step(&env, "true"));
}

#[test]
fn a_step_without_network_has_only_loopback() {
    if lacks("a_step_without_network_has_only_loopback", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let list = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
    let count = format!("test \"$({list})\" = lo");
    drop(build(&env, &format!("RUN --network=none {count}\n")).ok());
    drop(
        build(&env, &format!("RUN {count}\n"))
            .args(["--network", "none"])
            .ok(),
    );
}

#[test]
fn mounts_are_there_for_one_step() {
    if lacks("mounts_are_there_for_one_step", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "\
FROM scratch AS files
COPY file /from-stage
FROM busybox
RUN --mount=type=bind,target=/ctx cat /ctx/file && ! touch /ctx/new
RUN --mount=type=bind,from=files,source=/from-stage,target=/one cat /one
RUN --mount=type=bind,target=/rw,rw echo scratch > /rw/scratch
RUN --mount=type=tmpfs,target=/fast grep ' /fast tmpfs ' /proc/mounts && echo x > /fast/x
RUN --mount=type=cache,target=/kept,id=k echo once >> /kept/log
RUN --mount=type=cache,target=/kept,id=k echo twice >> /kept/log && cat /kept/log
RUN test ! -e /ctx && test ! -e /one && test ! -e /fast && test ! -e /kept && test ! -e /rw
";
    let context = env.context("c", text, &[("file", "from the context\n")]);
    let finished = env.build("mounts:1", &context).ok();
    for line in [" from the context", " once", " twice"] {
        assert!(
            finished.text().lines().any(|shown| shown.ends_with(line)),
            "{line}: {finished}"
        );
    }
    assert!(
        !context.join("scratch").exists(),
        "a bind mount is not written through"
    );
}

#[test]
fn a_secret_is_nowhere_but_in_its_step() {
    if lacks("a_secret_is_nowhere_but_in_its_step", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let file = env.write("secret", CANARY);
    let text = "\
FROM busybox
RUN --mount=type=secret,id=token test $(stat -c %a /run/secrets/token) = 400 \\
    && test $(wc -c < /run/secrets/token) = 15 && touch /seen
RUN --mount=type=secret,id=token,target=/elsewhere,mode=0440,uid=1000 test $(stat -c %a:%u /elsewhere) = 440:1000
RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 15
RUN test ! -e /run/secrets/token && test ! -e /elsewhere
";
    let context = env.context("c", text, &[]);
    let archive = env.path("image.tar");
    let output = format!(
        "type=oci,compression=uncompressed,dest={}",
        archive.display()
    );
    let secret = format!("id=token,src={}", file.display());
    drop(
        env.build("secret:1", &context)
            .args(["--secret", &secret, "-o", &output])
            .ok(),
    );
    let mut found = files_with(&env.root(), CANARY.as_bytes());
    fs::create_dir(env.path("only")).expect("the directory is new");
    fs::rename(&archive, env.path("only/image.tar")).expect("the archive is ours");
    found.extend(files_with(&env.path("only"), CANARY.as_bytes()));
    assert!(found.is_empty(), "the secret is in {found:?}");
    // Another value is no other step: secrets are not part of cache keys.
    env.write("secret", "other");
    let again = env
        .build("secret:2", &context)
        .args(["--secret", &secret])
        .ok();
    assert_eq!(again.cached_steps(), 4, "{again}");
}

#[test]
fn two_builds_on_one_state_directory_run_a_shared_step_once() {
    if lacks(
        "two_builds_on_one_state_directory_run_a_shared_step_once",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "FROM busybox\nRUN --mount=type=cache,id=count,target=/count \
                echo ran >> /count/log; echo begun; sleep 1; echo result > /result\n";
    let context = env.context("c", text, &[]);
    let mut first = env.build("first:1", &context).start();
    first.wait_for("the step's output", Duration::from_secs(20), |line| {
        line.ends_with(" begun").then_some(())
    });
    let second = env.build("second:1", &context).ok();
    assert!(
        first.wait(Duration::from_secs(20)).success(),
        "{}",
        first.output()
    );
    drop(second);
    let text = "FROM busybox\nRUN --mount=type=cache,id=count,target=/count echo total $(wc -l < /count/log)\n";
    let total = env.build("total:1", &env.context("d", text, &[])).ok();
    assert!(total.text().contains("total 1"), "{total}");
    for image in ["first:1", "second:1"] {
        let run = env.kiln(["run", "--rm", image, "cat", "/result"]).ok();
        assert_eq!(run.line(), "result", "{image}");
    }
}

#[test]
fn a_build_that_waits_takes_over_from_one_that_is_killed() {
    if lacks(
        "a_build_that_waits_takes_over_from_one_that_is_killed",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    // Only the first run waits for long: the second finds the mark of the first.
    let text = "FROM busybox\nRUN --mount=type=cache,id=mark,target=/mark \
                if mkdir /mark/first; then echo begun; sleep 63.63; fi; echo result > /result\n";
    let context = env.context("c", text, &[]);
    let mut first = env.build("first:1", &context).start();
    first.wait_for("the step's output", Duration::from_secs(20), |line| {
        line.ends_with(" begun").then_some(())
    });
    let mut second = env.build("second:1", &context).start();
    first.kill_alone();
    let status = second.wait(Duration::from_secs(30));
    assert!(status.success(), "{}", second.output());
    let run = env.kiln(["run", "--rm", "second:1", "cat", "/result"]).ok();
    assert_eq!(run.line(), "result");
}

/// An account of the system with subordinate ids, gone when dropped.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    fn new() -> Self {
        let name = format!("kiln-t{}", std::process::id() % 100_000);
        let add = Program::new("/usr/sbin/useradd").args(["--no-create-home", &name]);
        drop(add.ok());
        let id = |flag: &str| -> u32 {
            let id = Program::new("/usr/bin/id").args([flag, &name]).ok();
            id.line().parse().expect("ids are numbers")
        };
        let (uid, gid) = (id("-u"), id("-g"));
        Self { name, uid, gid }
    }

    /// Gives a tree to the account.
    fn own(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).expect("root may give files away");
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("the tree is ours").flatten() {
                self.own(&entry.path());
            }
        }
    }

    /// Returns a call of kiln by the account.
    fn kiln(&self, env: &TestEnv, program: &Path, args: &[&str]) -> Program {
        Program::new("/usr/bin/setpriv")
            .envs(env.vars())
            .env("USER", &self.name)
            .current_dir(env.path(""))
            .args([
                format!("--reuid={}", self.uid),
                format!("--regid={}", self.gid),
            ])
            .arg("--clear-groups")
            .arg(program)
            .args(args)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        drop(Program::new("/usr/sbin/userdel").arg(&self.name).run());
    }
}

/// Makes a world for the account, and a copy of kiln that it may run.
fn world_of(account: &Account) -> (TestEnv, PathBuf) {
    let env = TestEnv::new();
    let program = env.path("kiln");
    fs::copy(kiln_binary(), &program).expect("there is room for a copy");
    let rootfs = integration::busybox_rootfs().expect("busybox-static is installed");
    env.write("busybox.tar", rootfs);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(env.path(""), open).expect("the world is ours");
    account.own(&env.path(""));
    (env, program)
}

#[test]
fn an_ordinary_user_builds_runs_and_gets_the_same_image() {
    let needs = [BUSYBOX, Requirement::Root, Requirement::UserNamespaces];
    if lacks(
        "an_ordinary_user_builds_runs_and_gets_the_same_image",
        &needs,
    ) {
        return;
    }
    let account = Account::new();
    let (env, program) = world_of(&account);
    let text = "FROM busybox\nCOPY --chown=1000:2000 file /file\n\
                RUN touch -d @1000000000 /made && chown 1000:2000 /made && chmod 4755 /made\n\
                USER builder\nRUN test $(id -u) = 1000 && echo mine > /tmp/mine\n";
    let context = env.context("c", text, &[("file", "x\n")]);
    account.own(&context);
    let kiln = |args: &[&str]| account.kiln(&env, &program, args);
    drop(kiln(&["import", "busybox.tar", "busybox"]).ok());
    let build = ["build", "--progress", "plain", "-t", "mine:1", "c"];
    let out = format!("type=oci,tar=false,dest={}", env.path("layout").display());
    drop(kiln(&build).ok());
    drop(kiln(&build).args(["-o", &out]).ok());
    let command = "cat /tmp/mine && stat -c '%u:%g %a' /made /file";
    let run = kiln(&["run", "--rm", "mine:1", "sh", "-c", command]).ok();
    assert_eq!(run.line(), "mine\n1000:2000 4755\n1000:2000 644", "{run}");
    // Root makes the same COPY layer, bit for bit: owners in layers are those inside.
    let other = TestEnv::with_busybox();
    let root_out = format!("type=oci,tar=false,dest={}", other.path("layout").display());
    let file = other.context("c", text, &[("file", "x\n")]);
    drop(other.build("mine:1", &file).args(["-o", &root_out]).ok());
    let layers = |env: &TestEnv| ImageLayout::at(env.path("layout")).layers();
    assert_eq!(layers(&env)[..2], layers(&other)[..2], "base and COPY");
}

#[test]
fn run_passes_exit_codes_signals_and_files() {
    if lacks("run_passes_exit_codes_signals_and_files", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let kiln = |args: &[&str]| env.kiln(["run", "--rm"]).args(args);
    drop(kiln(&["busybox", "sh", "-c", "exit 42"]).run().code(42));
    drop(kiln(&["busybox", "no-such-program"]).run().code(127));
    env.write("shared/file", "from outside\n");
    let volume = format!("{}:/in", env.path("shared").display());
    let run = kiln(&[
        "-v",
        &volume,
        "-w",
        "/in",
        "-e",
        "NAME=value",
        "-u",
        "1000",
        "busybox",
    ]);
    let run = run
        .args(["sh", "-c", "cat file && pwd && echo $NAME && id -u"])
        .ok();
    assert_eq!(run.line(), "from outside\n/in\nvalue\n1000", "{run}");
    let mut waiting = kiln(&[
        "busybox",
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo ready; sleep 64.64 & wait",
    ])
    .start();
    waiting.wait_for("the program", Duration::from_secs(20), |line| {
        (line == "ready").then_some(())
    });
    assert_eq!(waiting.stop(Duration::from_secs(20)).code(), Some(9));
    sleeper_is_gone("64.64");
}
