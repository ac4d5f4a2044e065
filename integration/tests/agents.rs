// SPDX-License-Identifier: Apache-2.0
//! `RUN --mount=type=ssh`: OpenSSH's own programs in a step, behind kiln's socket.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use integration::peers::BUSYBOX;
use integration::{Background, Program, Requirement, TestEnv, lacks};

const SSH: Requirement = Requirement::Program("ssh-agent", "openssh-client");

/// A running agent with its keys in memory.
struct Agent {
    socket: String,
    _process: Background,
}

impl Agent {
    fn start(env: &TestEnv) -> Self {
        let socket = env.path("agent").display().to_string();
        let process = Program::new("/usr/bin/ssh-agent")
            .args(["-D", "-a", &socket])
            .start();
        while !Path::new(&socket).exists() {
            std::thread::yield_now();
        }
        Self {
            socket,
            _process: process,
        }
    }

    fn add(&self, key: &Path) {
        let add = Program::new("/usr/bin/ssh-add").env("SSH_AUTH_SOCK", &self.socket);
        drop(add.arg(key).ok());
    }
}

/// Makes a key, and returns where it is.
fn key(env: &TestEnv, kind: &[&str], name: &str) -> std::path::PathBuf {
    let path = env.path(name);
    let make = Program::new("/usr/bin/ssh-keygen").args(["-q", "-N", "", "-C", name, "-f"]);
    drop(make.arg(&path).arg("-t").args(kind).ok());
    path
}

/// Returns a context with busybox and the programs of OpenSSH, with the libraries they need.
fn context(env: &TestEnv, lines: &str) -> std::path::PathBuf {
    let context = env.context(
        "c",
        &format!("FROM busybox\nCOPY programs/ /\n{lines}"),
        &[],
    );
    let mut files = Vec::new();
    for program in ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"] {
        files.push(program.to_owned());
        let libraries = Program::new("/usr/bin/ldd").arg(program).ok().text();
        let words = libraries.split_whitespace().map(str::to_owned);
        files.extend(words.filter(|word| word.starts_with('/')));
    }
    for file in files {
        let target = context.join("programs").join(file.trim_start_matches('/'));
        let parent = target.parent().expect("a file is in a directory");
        fs::create_dir_all(parent).expect("the context is ours");
        fs::copy(&file, &target).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    context
}

#[test]
fn a_step_lists_and_signs_and_changes_nothing() {
    let needs = [BUSYBOX, Requirement::Root, SSH];
    if lacks("a_step_lists_and_signs_and_changes_nothing", &needs) {
        return;
    }
    let env = TestEnv::with_busybox();
    let agent = Agent::start(&env);
    agent.add(&key(&env, &["ed25519"], "first"));
    let lines = "\
RUN --mount=type=ssh test $SSH_AUTH_SOCK = /run/buildkit/ssh_agent.0 && ssh-add -l
RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && test $(stat -c %a:%u:%g $SSH_AUTH_SOCK) = 600:0:0
RUN --mount=type=ssh ! ssh-add -D && ! ssh-add -x </dev/null && ssh-add -l | wc -l | grep -x 1
RUN --mount=type=ssh,target=/s,mode=0660,uid=1000,gid=2000 \\
    test $SSH_AUTH_SOCK = /s && test $(stat -c %a:%u:%g /s) = 660:1000:2000
USER builder
RUN --mount=type=ssh,uid=1000 ssh-add -l
USER root
RUN --mount=type=ssh --mount=type=ssh,id=other test -S /run/buildkit/ssh_agent.1
RUN --mount=type=ssh,id=nobody test -n \"$SSH_AUTH_SOCK\" && ! test -e $SSH_AUTH_SOCK
RUN test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit && test ! -e /s
";
    let context = context(&env, lines);
    let other = format!("other={}", agent.socket);
    let build = env
        .build("ssh:1", &context)
        .env("SSH_AUTH_SOCK", &agent.socket);
    let finished = build.args(["--ssh", "default", "--ssh", &other]).ok();
    assert!(finished.text().contains("first (ED25519)"), "{finished}");
    let left = fs::read_dir(env.root().join("tmp")).map(Iterator::count);
    assert_eq!(left.unwrap_or_default(), 0, "a socket outlived its step");
    // Neither which agent nor that there is one is part of a key.
    let again = env.build("ssh:2", &context).ok();
    assert_eq!(again.cached_steps(), 9, "{again}");

    let required = "FROM busybox\nRUN --mount=type=ssh,required true\n";
    let context = env.context("d", required, &[]);
    let refused = env.build("ssh:3", &context).run().code(3);
    drop(
        refused
            .says("SSH agent \"default\" is required")
            .says("--ssh default"),
    );
}

#[test]
fn keys_in_files_sign_as_openssh_expects() {
    let needs = [BUSYBOX, Requirement::Root, SSH];
    if lacks("keys_in_files_sign_as_openssh_expects", &needs) {
        return;
    }
    let env = TestEnv::with_busybox();
    let kinds: [(&str, &[&str]); 6] = [
        ("ed25519", &["ed25519"]),
        ("p256", &["ecdsa", "-b", "256"]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("p521", &["ecdsa", "-b", "521"]),
        ("rsa", &["rsa", "-b", "2048"]),
        ("rsa-pem", &["rsa", "-b", "2048", "-m", "PEM"]),
    ];
    let mut lines = String::from("RUN echo text > /text\n");
    let mut paths = Vec::new();
    for (name, kind) in kinds {
        let path = key(&env, kind, name);
        let public = fs::read_to_string(path.with_extension("pub"));
        let public = public.expect("ssh-keygen writes both halves");
        let public = public.trim();
        write!(
            lines,
            "RUN --mount=type=ssh echo '{public}' > /k.pub && echo 'me {public}' > /allowed \\\n \
             && ssh-keygen -q -Y sign -U -f /k.pub -n file /text \\\n \
             && ssh-keygen -Y verify -f /allowed -I me -n file -s /text.sig < /text && rm /text.sig\n"
        )
        .expect("a string takes all text");
        paths.push(path.display().to_string());
    }
    let ssh = format!("default={}", paths.join(","));
    let context = context(&env, &lines);
    let built = env.build("keys:1", &context).args(["--ssh", &ssh]).ok();
    let good = built.text().matches("Good \"file\" signature").count();
    assert_eq!(good, kinds.len(), "{built}");

    let locked = env.path("locked");
    let make = Program::new("/usr/bin/ssh-keygen").args(["-q", "-N", "secret", "-f"]);
    drop(make.arg(&locked).ok());
    let ssh = format!("default={}", locked.display());
    let refused = env.build("keys:2", &context).args(["--ssh", &ssh]);
    drop(refused.run().code(3).says("passphrase").says("ssh-add"));
}
