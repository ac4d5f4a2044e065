// SPDX-License-Identifier: Apache-2.0
//! RUN, rule by rule: what a step gets, what it leaves, what its key holds.
//!
//! The numbers are those of `docs/dockerfile.md`. `Observed:` each on BuildKit 73ed6825.

use integration::image::ImageLayout;
use integration::peers::BUSYBOX;
use integration::{Finished, Program, Requirement, TestEnv, lacks};

const ROOT: &[Requirement] = &[BUSYBOX, Requirement::Root];

/// Returns a build of `lines` on busybox.
fn build(env: &TestEnv, lines: &str) -> Program {
    let context = env.context("c", &format!("FROM busybox\n{lines}"), &[("file", "x\n")]);
    env.build("rule:1", &context)
}

/// Builds into a layout, and returns it.
fn layout(env: &TestEnv, build: Program) -> ImageLayout {
    let path = env.path("layout");
    let output = format!("type=oci,tar=false,dest={}", path.display());
    drop(build.args(["-o", &output]).ok());
    ImageLayout::at(path)
}

/// Returns the paths in the topmost layer of a build.
fn top_layer(build: Program) -> Vec<String> {
    let text = build.args(["--print", "layers"]).ok().text();
    let (_, last) = text.rsplit_once("layer sha256:").expect("there is a layer");
    let lines = last.lines().skip(1).filter(|line| line.starts_with("  "));
    lines
        .filter_map(|line| line.split(' ').next_back())
        .map(str::to_owned)
        .collect()
}

/// Returns the number of RUN and COPY steps that the same build finds recorded.
fn cached(finished: &Finished) -> usize {
    finished.cached_steps()
}

#[test]
fn rule_62_the_shell_is_sh_or_what_shell_says() {
    if lacks("rule_62_the_shell_is_sh_or_what_shell_says", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN echo one $0\nSHELL [\"/bin/busybox\", \"sh\", \"-ec\"]\n\
                 RUN false; true || echo never\n";
    let failed = build(&env, lines).run().code(1).says("one /bin/sh");
    drop(failed.says("/bin/busybox sh -ec false"));
    let kept = build(&env, "SHELL [\"/bin/busybox\", \"sh\", \"-ec\"]\n");
    let config = layout(&env, kept).config();
    assert_eq!(config["config"]["Shell"][2], "-ec");
    drop(build(&env, "SHELL [\"/bin/busybox\", \"sh\", \"-ec\"]\n").ok());
    let child = env.context("d", "FROM rule:1\nRUN false; true\n", &[]);
    drop(env.build("child:1", &child).run().code(1));
}

#[test]
fn rule_63_path_is_set_and_written_into_the_config() {
    if lacks("rule_63_path_is_set_and_written_into_the_config", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let config = layout(
        &env,
        build(
            &env,
            "RUN test \"$PATH\" = \
        /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        ),
    )
    .config();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(config["config"]["Env"][0], path);
}

#[test]
fn rule_64_a_missing_workdir_belongs_to_the_user() {
    if lacks("rule_64_a_missing_workdir_belongs_to_the_user", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN chmod 777 /home\nUSER builder\nWORKDIR /home/new\n\
                 RUN test $(stat -c %U:%G:%a /home/new) = builder:builder:755 && touch mine\n";
    drop(build(&env, lines).ok());
}

#[test]
fn rule_65_mount_targets_leave_no_trace() {
    if lacks("rule_65_mount_targets_leave_no_trace", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let mounts = "RUN --mount=type=bind,target=/new/a/b --mount=type=tmpfs,target=/tmp/t \
                  --mount=type=cache,target=/var/c --mount=type=bind,source=file,target=/etc/f";
    let nothing = top_layer(build(&env, &format!("{mounts} test -e /etc/f\n")));
    assert_eq!(nothing, Vec::<String>::new());
    let own = top_layer(build(&env, &format!("{mounts} touch /etc/own /tmp/own\n")));
    assert_eq!(own, ["etc/", "etc/own", "tmp/", "tmp/own"]);
    let time = format!(
        "RUN touch -d @1000 /var\n{mounts} true\nRUN test $(stat -c %Y /var) = 1000 \
                        && test ! -e /new && test ! -e /var/c\n"
    );
    drop(build(&env, &time).ok());
}

#[test]
fn rule_66_hosts_and_resolv_conf_are_read_only_and_in_no_layer() {
    if lacks(
        "rule_66_hosts_and_resolv_conf_are_read_only_and_in_no_layer",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN test -s /etc/hosts && ! sh -c 'echo x >> /etc/hosts' \
                 && ! sh -c 'echo x >> /etc/resolv.conf' && touch /etc/own\n";
    assert_eq!(top_layer(build(&env, lines)), ["etc/", "etc/own"]);
    let added = build(&env, "RUN grep -q '10.1.2.3.*db' /etc/hosts\n");
    drop(added.args(["--add-host", "db:10.1.2.3"]).ok());
}

#[test]
fn rule_67_home_comes_from_passwd() {
    if lacks("rule_67_home_comes_from_passwd", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN test $HOME = /root\nUSER builder\nRUN test $HOME = /home/builder\n\
                 USER 4242\nRUN test $HOME = /\nENV HOME=/own\nRUN test $HOME = /own\n";
    drop(build(&env, lines).ok());
}

#[test]
fn rule_68_groups_of_names_and_single_ids_are_looked_up() {
    if lacks("rule_68_groups_of_names_and_single_ids_are_looked_up", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    for (user, groups) in [
        ("builder", "1000 2000"),
        ("1000", "1000 2000"),
        ("1000:1000", "1000"),
        ("builder:extra", "2000"),
        ("4242", "0"),
    ] {
        let lines = format!("USER {user}\nRUN test \"$(id -G)\" = \"{groups}\" || id\n");
        let found = build(&env, &lines).ok();
        assert!(!found.text().contains("uid="), "{user}: {found}");
    }
}

#[test]
fn rule_69_a_step_that_changes_nothing_is_an_empty_layer() {
    if lacks(
        "rule_69_a_step_that_changes_nothing_is_an_empty_layer",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let image = layout(&env, build(&env, "RUN true\n"));
    assert_eq!(image.layers().len(), 2);
    let config = image.config();
    let history = config["history"].as_array().expect("a history is a list");
    let last = history.last().expect("it is not empty");
    assert_eq!(last["empty_layer"], serde_json::Value::Null);
    assert_eq!(last["created_by"], "RUN /bin/sh -c true # buildkit");
}

#[test]
fn rule_70_a_cache_is_named_by_its_clean_target() {
    if lacks("rule_70_a_cache_is_named_by_its_clean_target", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    drop(
        build(
            &env,
            "RUN --mount=type=cache,target=/a//b/../c echo kept > /a/c/f\n",
        )
        .ok(),
    );
    let other = env.context(
        "d",
        "FROM busybox\nRUN --mount=type=cache,target=/a/c cat /a/c/f\n\
        RUN --mount=type=cache,id=/a/c,target=/z cat /z/f\n",
        &[],
    );
    let found = env.build("other:1", &other).ok();
    assert_eq!(found.text().matches(" kept").count(), 2, "{found}");
    let spaced = env
        .build("other:2", &other)
        .args(["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=n"]);
    drop(spaced.arg("--no-cache").run().code(1));
}

#[test]
fn rule_71_id_and_sharing_of_a_cache_are_not_in_the_key() {
    if lacks("rule_71_id_and_sharing_of_a_cache_are_not_in_the_key", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let with = |options: &str| {
        build(
            &env,
            &format!("RUN --mount=type=cache,target=/k{options} echo ran\n"),
        )
        .ok()
    };
    drop(with(""));
    for options in [",id=other", ",sharing=locked", ",id=x,sharing=private"] {
        assert_eq!(cached(&with(options)), 1, "{options}");
    }
}

#[test]
fn rule_72_no_cache_keeps_a_plain_cache_and_empties_one_with_a_mode() {
    if lacks(
        "rule_72_no_cache_keeps_a_plain_cache_and_empties_one_with_a_mode",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines =
        "RUN --mount=type=cache,target=/plain echo x >> /plain/f; echo plain $(wc -l < /plain/f)\n";
    drop(build(&env, lines).ok());
    let again = build(&env, lines).arg("--no-cache").ok();
    drop(again.says(" plain 2"));
    let lines = "RUN --mount=type=cache,target=/m,mode=0700,uid=7 echo x >> /m/f; \
                 echo mode $(wc -l < /m/f) $(stat -c %a:%u /m)\n";
    drop(build(&env, lines).ok().says(" mode 1 700:7"));
    drop(
        build(&env, lines)
            .arg("--no-cache")
            .ok()
            .says(" mode 1 700:7"),
    );
}

#[test]
fn rule_73_writes_to_a_bind_mount_are_dropped() {
    if lacks("rule_73_writes_to_a_bind_mount_are_dropped", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN --mount=type=bind,target=/c,rw echo y > /c/file && cat /c/file\n\
                 RUN --mount=type=bind,target=/c grep x /c/file && ! touch /c/new\n";
    drop(build(&env, lines).ok());
    let kept = std::fs::read_to_string(env.path("c/file")).expect("the context is ours");
    assert_eq!(kept, "x\n");
}

#[test]
fn rule_74_secrets_are_optional_unless_required() {
    if lacks("rule_74_secrets_are_optional_unless_required", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN --mount=type=secret,id=s --mount=type=secret,id=e,env=E \
                 test ! -e /run/secrets/s && test -z \"$E\"\n";
    drop(build(&env, lines).ok());
    for lines in [
        "RUN --mount=type=secret,id=s,required true\n",
        "RUN --mount=type=secret,id=s,env=E,required=true true\n",
    ] {
        drop(
            build(&env, lines)
                .run()
                .code(3)
                .says("secret \"s\" is required"),
        );
    }
}

#[test]
fn rule_75_the_value_of_a_secret_variable_is_in_neither_history_nor_key() {
    if lacks(
        "rule_75_the_value_of_a_secret_variable_is_in_neither_history_nor_key",
        ROOT,
    ) {
        return;
    }
    let env = TestEnv::with_busybox();
    let lines = "RUN --mount=type=secret,id=s,env=TOKEN test -n \"$TOKEN\"\n";
    let with = |value: &str| {
        let build = build(&env, lines).args(["--secret", "id=s,env=GIVEN"]);
        build.env("GIVEN", value)
    };
    let config = layout(&env, with("canary-1")).config().to_string();
    assert!(
        !config.contains("canary") && !config.contains("TOKEN="),
        "{config}"
    );
    assert_eq!(cached(&with("canary-2").ok()), 1);
    let renamed = build(&env, &lines.replace("id=s,", "id=t,"));
    let renamed = renamed
        .args(["--secret", "id=t,env=GIVEN"])
        .env("GIVEN", "x")
        .ok();
    assert_eq!(cached(&renamed), 0, "which secret counts: {renamed}");
}

#[test]
fn rule_76_more_than_the_sandbox_needs_consent() {
    if lacks("rule_76_more_than_the_sandbox_needs_consent", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    for (line, entitlement) in [
        ("RUN --network=host true\n", "network.host"),
        ("RUN --security=insecure true\n", "security.insecure"),
    ] {
        drop(build(&env, line).run().code(2).says(entitlement));
        drop(build(&env, line).args(["--allow", entitlement]).ok());
    }
    // Docs: buildx, `--network=host` is the consent too.
    drop(build(&env, "RUN true\n").args(["--network", "host"]).ok());
    let lines = "RUN --security=insecure grep -q '^Seccomp:.*0$' /proc/self/status\n\
                 RUN grep -q '^Seccomp:.*2$' /proc/self/status\n";
    drop(
        build(&env, lines)
            .args(["--allow", "security.insecure"])
            .ok(),
    );
    let lines = "RUN --security=insecure mknod /dev/z c 1 5 && head -c 1 /dev/z > /dev/null \
                 && mount -t tmpfs none /tmp\n\
                 RUN mknod /dev/z c 1 5 && ! head -c 1 /dev/z 2>/dev/null\n";
    drop(
        build(&env, lines)
            .args(["--allow", "security.insecure"])
            .ok(),
    );
    // A step keeps its own word where the build has another.
    let lines =
        "RUN --network=none test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo\n";
    drop(build(&env, lines).args(["--network", "host"]).ok());
}

#[test]
fn rule_77_shm_has_the_size_that_was_asked_for() {
    if lacks("rule_77_shm_has_the_size_that_was_asked_for", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let line = |size: &str| format!("RUN df -k /dev/shm | grep -q ' {size} '\n");
    drop(build(&env, &line("65536")).ok());
    let named =
        "RUN grep -q '^shm /dev/shm tmpfs ' /proc/mounts && grep -q '^proc /proc ' /proc/mounts\n";
    drop(build(&env, named).ok());
    drop(build(&env, &line("2048")).args(["--shm-size", "2m"]).ok());
    let limits = build(&env, "RUN test $(ulimit -n):$(ulimit -Hn) = 100:200\n");
    drop(limits.args(["--ulimit", "nofile=100:200"]).ok());
}

/// Removes a control group from every hierarchy; those of steps in it are gone soon.
fn remove_groups(name: &str) {
    let top = std::path::Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).into_iter().flatten().flatten();
    let mut groups = vec![top.join(&name[1..])];
    groups.extend(hierarchies.map(|entry| entry.path().join(&name[1..])));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    groups.retain(|group| group.is_dir());
    while !groups.is_empty() {
        assert!(std::time::Instant::now() < deadline, "{groups:?} stay");
        groups.retain(|group| std::fs::remove_dir(group).is_err() && group.is_dir());
        std::thread::yield_now();
    }
}

#[test]
fn a_step_is_in_the_control_group_that_was_asked_for() {
    if lacks("a_step_is_in_the_control_group_that_was_asked_for", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    // Seen through the host's process table: a step sees its group as the topmost one.
    let parent = format!("/kiln-test-{}", std::process::id());
    let lines = "RUN echo begun; sleep 65.65\n";
    let mut running = build(&env, lines)
        .args(["--cgroup-parent", &parent])
        .start();
    running.wait_for("the step", std::time::Duration::from_secs(20), |line| {
        line.ends_with(" begun").then_some(())
    });
    let processes = std::fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten();
    let groups: Vec<String> = processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup")).ok())
        .filter(|groups| groups.contains(&format!("{parent}/kiln-")))
        .collect();
    running.interrupt();
    running.wait(std::time::Duration::from_secs(20));
    remove_groups(&parent);
    assert!(!groups.is_empty(), "no process is in {parent}");
}

#[test]
fn rule_78_the_host_name_is_fixed() {
    if lacks("rule_78_the_host_name_is_fixed", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let line = |name: &str| {
        format!("RUN test $(hostname) = {name} && grep -q '127.0.0.1.*{name}' /etc/hosts\n")
    };
    drop(build(&env, &line("buildkitsandbox")).ok());
    let named = build(&env, &line("mine"));
    drop(
        named
            .args(["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=mine"])
            .ok(),
    );
}

/// A device description of this machine, gone when dropped.
struct Description(std::path::PathBuf);

impl Description {
    fn new(kind: &str, text: &str) -> Self {
        let directory = std::path::Path::new("/var/run/cdi");
        std::fs::create_dir_all(directory).expect("root may make directories");
        let path = directory.join(format!("{}.json", kind.replace('/', "-")));
        std::fs::write(&path, text).expect("root may write files");
        Self(path)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn devices_are_described_allowed_and_in_the_key() {
    if lacks("devices_are_described_allowed_and_in_the_key", ROOT) {
        return;
    }
    let env = TestEnv::with_busybox();
    let kind = format!("kiln.test/t{}", std::process::id());
    let lib = env.write("lib/driver", "driver\n");
    let text = serde_json::json!({
        "cdiVersion": "0.7.0",
        "kind": kind,
        "containerEdits": {"env": ["DRIVER=yes"]},
        "devices": [{"name": "zero", "containerEdits": {
            "deviceNodes": [{"path": "/dev/acme/zero", "hostPath": "/dev/zero"}],
            "mounts": [{"hostPath": lib, "containerPath": "/lib/driver", "options": ["ro"]}],
            "additionalGids": [4242],
        }}],
    });
    let _description = Description::new(&kind, &text.to_string());
    let lines = "ARG KIND\nUSER builder\nRUN --device=$KIND=zero,required test $(head -c 4 /dev/acme/zero | wc -c) = 4 \\\n \
         && test $DRIVER = yes && grep -q driver /lib/driver && ! sh -c 'echo x > /lib/driver' \\\n \
         && id -G | grep -q 4242 && ! head -c 1 /dev/mem\n\
         RUN test ! -e /dev/acme && test ! -e /lib/driver && test -z \"$DRIVER\"\n";
    let kind_flag = format!("KIND={kind}");
    let device = format!("device={kind}=zero");
    let with = |allow: &[&str]| {
        build(&env, lines)
            .args(["--build-arg", &kind_flag])
            .args(allow)
    };
    let refused = with(&[]).run().code(2).says("is not allowed");
    drop(refused.says(&format!("--allow {device}")));
    drop(with(&["--allow", &device]).ok());
    assert_eq!(with(&["--allow", "device"]).ok().cached_steps(), 2);
    let missing = build(&env, "RUN --device=kiln.test/none,required true\n");
    drop(missing.run().code(3).says("not described"));
    drop(build(&env, "RUN --device=kiln.test/none true\n").ok());
}
