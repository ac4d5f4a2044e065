// SPDX-License-Identifier: Apache-2.0
//! Repositories as sources of ADD.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use integration::git_server::TOKEN;
use integration::image::ImageLayout;
use integration::{GitServer, Program, TestEnv};

/// A world that reaches the server without a proxy, and a server with the repository `app`:
/// branches `main` and `release/1`, a tag `v1`, an annotated tag `v2`.
fn world() -> (TestEnv, GitServer) {
    let mut env = TestEnv::new();
    env.set_var("no_proxy", "127.0.0.1");
    env.set_var("NO_PROXY", "127.0.0.1");
    let server = GitServer::start(env.path("repositories"));
    server.write("app", "README", "first\n");
    server.write("app", "src/run", "#!/bin/sh\n");
    let app = server.repository("app");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(app.join("src/run"), executable).expect("the file is ours");
    symlink("../README", app.join("src/link")).expect("the name is free");
    server.commit("app");
    server.git("app", &["tag", "v1"]);
    server.git("app", &["branch", "release/1"]);
    server.write("app", "README", "second\n");
    server.commit("app");
    server.git("app", &["tag", "-a", "v2", "-m", "two"]);
    server.git("app", &["update-server-info"]);
    (env, server)
}

/// Builds `FROM scratch` and these instructions; the files go to `out`.
fn build(env: &TestEnv, instructions: &str, more: &[&str]) -> Program {
    let context = env.context("context", &format!("FROM scratch\n{instructions}\n"), &[]);
    let output = format!("type=local,dest={}", env.path("out").display());
    env.kiln(["build", "--progress", "plain", "-o", &output])
        .args(more)
        .arg(context)
}

fn read(env: &TestEnv, path: &str) -> String {
    fs::read_to_string(env.path("out").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns what is below a directory: mode, name, link target, time in seconds.
fn listing(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).expect("a directory can be read") {
            let path = entry.expect("an entry can be read").path();
            let meta = fs::symlink_metadata(&path).expect("it is there");
            let name = path.strip_prefix(directory).expect("it is below");
            let mode = meta.permissions().mode() & 0o7777;
            let target = fs::read_link(&path).map(|target| format!(" -> {}", target.display()));
            lines.push(format!(
                "{mode:o} {}{}",
                name.display(),
                target.unwrap_or_default()
            ));
            if meta.is_dir() {
                left.push(path);
            }
        }
    }
    lines.sort();
    lines
}

#[test]
fn a_repository_is_added_without_git_dir() {
    let (env, server) = world();
    let url = format!("http://{}/app/.git", server.address());
    let add = format!(
        "ADD {url} /app\nADD {url}#v1:src /v1/\nADD --chmod=600 {url}#release/1:src/../src /r"
    );
    drop(build(&env, &add, &[]).ok());
    assert_eq!(
        listing(&env.path("out")),
        [
            "600 r",
            "600 r/run",
            "644 app/README",
            "755 app",
            "755 app/src",
            "755 app/src/run",
            "755 v1",
            "755 v1/run",
            "777 app/src/link -> ../README",
            "777 r/link -> ../README",
            "777 v1/link -> ../README",
        ]
    );
    assert_eq!(read(&env, "app/README"), "second\n");
}

#[test]
fn rule_59_git_dir_submodules_and_commit_time() {
    let (mut env, server) = world();
    env.unset_var("SOURCE_DATE_EPOCH");
    server.write("library", "lib.c", "int x;\n");
    let library = server.commit("library");
    let modules = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../../library/.git\n";
    server.write("app", ".gitmodules", modules);
    let link = format!("160000,{library},lib");
    server.git("app", &["update-index", "--add", "--cacheinfo", &link]);
    fs::create_dir(server.repository("app").join("lib")).expect("the name is free");
    let commit = server.commit("app");
    let url = format!("http://token@{}/app/.git", server.address());
    let add = format!(
        "ADD --keep-git-dir {url} /kept\nADD {url}?mtime=commit /timed\nADD {url}?submodules=false /without"
    );
    drop(build(&env, &add, &[]).ok());
    assert_eq!(read(&env, "kept/lib/lib.c"), "int x;\n");
    assert_eq!(read(&env, "timed/lib/lib.c"), "int x;\n");
    assert!(
        !env.path("out/timed/lib/.git").exists(),
        "it would name a place of this machine"
    );
    assert!(!env.path("out/without/lib/lib.c").exists());
    assert_eq!(read(&env, "kept/.git/HEAD").trim(), commit);
    assert_eq!(read(&env, "kept/.git/refs/heads/main").trim(), commit);
    let config = read(&env, "kept/.git/config");
    assert!(
        config.contains(&format!("url = http://{}/app/.git", server.address())),
        "{config}"
    );
    for (path, is_commits) in [
        ("timed/README", true),
        ("timed/lib/lib.c", true),
        ("kept/README", false),
    ] {
        let meta = fs::symlink_metadata(env.path("out").join(path)).expect("it is there");
        assert_eq!(meta.mtime() == 1_700_000_000, is_commits, "{path}");
    }
    let kept = env.path("out/kept");
    let status = Program::new("git")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .args(["status", "--porcelain"])
        .current_dir(kept)
        .ok();
    assert_eq!(status.line(), "", "the files are those of the commit");
}

#[test]
fn the_same_commit_is_fetched_once_under_any_name() {
    let (env, server) = world();
    let url = format!("http://{}/app/.git", server.address());
    drop(build(&env, &format!("ADD {url}#v2 /app"), &[]).ok());
    assert_eq!(server.fetches(), 1);
    let commit = server.git("app", &["rev-parse", "main"]);
    for name in ["main", "refs/tags/v2", &commit, &commit[..10]] {
        let again = build(&env, &format!("ADD {url}#{name} /app"), &[]).ok();
        assert_eq!(server.fetches(), 1, "{name}: {again}");
        assert!(again.text().contains("CACHED"), "{name}: {again}");
    }
    drop(build(&env, &format!("ADD {url}#v1 /app"), &[]).ok());
    assert_eq!(server.fetches(), 2);
}

#[test]
fn a_repository_gives_the_same_digest_anywhere() {
    let (env, server) = world();
    let other = env.sibling();
    let digest = |env: &TestEnv| {
        let add = format!(
            "FROM scratch\nADD http://{0}/app/.git#v2 /app\nADD --keep-git-dir http://{0}/app/.git#v1 /kept\n",
            server.address()
        );
        let context = env.context("c", &add, &[]);
        let layout = env.path("layout");
        let output = format!("type=oci,tar=false,dest={}", layout.display());
        let build = env.build("x:1", &context).env("no_proxy", "127.0.0.1");
        drop(build.args(["-o", &output]).ok());
        let manifest = ImageLayout::at(&layout).index()["manifests"][0]["digest"].clone();
        manifest.to_string()
    };
    let first = digest(&env);
    assert_eq!(first, digest(&other));
}

#[test]
fn servers_that_only_hand_out_files_will_do() {
    let (env, server) = world();
    let add = format!(
        "ADD http://{}/files/app/.git#release/1 /app",
        server.address()
    );
    drop(build(&env, &add, &[]).ok());
    assert_eq!(read(&env, "app/README"), "first\n");
}

#[test]
fn private_repositories_open_to_a_secret_that_shows_nowhere() {
    let (mut env, server) = world();
    env.set_var("TOKEN", TOKEN);
    let host = server.address();
    let add = format!("ADD http://{host}/private/app/.git /app");
    let hint = format!("--secret id=GIT_AUTH_TOKEN.{host},env=");
    drop(build(&env, &add, &[]).run().code(4).says(&hint));
    for id in [
        "GIT_AUTH_TOKEN".to_owned(),
        format!("GIT_AUTH_TOKEN.{host}"),
    ] {
        let secret = format!("id={id},env=TOKEN");
        let done = build(&env, &add, &["--secret", &secret]).ok();
        assert!(!done.text().contains(TOKEN), "{done}");
        drop(fs::remove_dir_all(env.path("out")));
    }
    let found = Program::new("grep")
        .env("PATH", "/usr/bin:/bin")
        .args(["-r", "-l", TOKEN])
        .arg(env.root())
        .run();
    assert_eq!(
        found.line(),
        "",
        "a file of the state directory has the token"
    );
}

/// An `ssh` that runs the command here, if it was given an agent and may learn hosts.
const SSH: &str = "\
#!/bin/sh
test -S \"$SSH_AUTH_SOCK\" || exit 9
printf '%s\\n' \"$*\" >> \"$(dirname \"$0\")/calls\"
for last; do :; done
eval \"$last\"
";

#[test]
fn repositories_over_ssh_see_the_agent_that_was_given() {
    let (mut env, server) = world();
    let program = env.write("bin/ssh", SSH);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, executable).expect("the file is ours");
    let mut path = env.path("bin").into_os_string();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    env.set_var("PATH", path);
    let socket = env.path("agent");
    let _agent = UnixListener::bind(&socket).expect("the name is free");
    let app = server.repository("app");
    let add = format!(
        "ADD git@host.example:{}#main /app",
        app.join(".git").display()
    );
    drop(build(&env, &add, &[]).run().code(3).says("--ssh default"));
    let agent = format!("default={}", socket.display());
    drop(build(&env, &add, &["--ssh", &agent]).ok());
    assert_eq!(read(&env, "app/README"), "second\n");
    let calls = fs::read_to_string(env.path("bin/calls")).expect("ssh was called");
    for option in [
        "-F /dev/null",
        "-o BatchMode=yes",
        "-o IdentityFile=none",
        "-o StrictHostKeyChecking=accept-new",
        "git@host.example",
    ] {
        assert!(calls.contains(option), "{option}: {calls}");
    }
}

#[test]
fn failures_say_what_to_do() {
    let (env, server) = world();
    let app = format!("http://{}/app/.git", server.address());
    let commit = server.git("app", &["rev-parse", "v2^{}"]);
    let tag = server.git("app", &["rev-parse", "v2"]);
    let none = format!("http://{}/none/.git", server.address());
    for (add, code, messages) in [
        (
            format!("{app}#mian"),
            3,
            vec!["no branch, tag or commit \"mian\"", "it has main"],
        ),
        (
            format!("--checksum=abcdef0 {app}#v2"),
            3,
            vec!["abcdef0", &commit, &tag],
        ),
        (
            format!("{app}#main:none"),
            3,
            vec!["the repository has no directory \"none\""],
        ),
        (
            format!("{app}#main:README"),
            3,
            vec!["\"README\" in the repository is not a directory"],
        ),
        (
            format!("{app}#main:src/link"),
            3,
            vec!["\"src/link\" in the repository is not a directory"],
        ),
        (
            format!("{app}#--upload-pack=x"),
            3,
            vec!["is not a valid name"],
        ),
        (
            format!("{app}?fetch-by-commit#main"),
            3,
            vec!["fetch-by-commit needs"],
        ),
        (none, 4, vec!["there is no such repository"]),
        (
            "http://127.0.0.1:1/a.git".into(),
            4,
            vec!["cannot be reached"],
        ),
        ("git@127.0.0.1:a.git".into(), 3, vec!["--ssh default"]),
    ] {
        let mut finished = build(&env, &format!("ADD {add} /a"), &[]).run().code(code);
        for message in messages {
            finished = finished.says(message);
        }
    }
    // The next command works.
    drop(build(&env, &format!("ADD {app} /a"), &[]).ok());
}

#[test]
fn submodules_reach_nothing_of_this_machine() {
    let (env, server) = world();
    server.write("library", "secret", "of this machine\n");
    let library = server.commit("library");
    let home = env.path("repositories/library");
    let mark = env.path("mark");
    let addresses = [
        home.display().to_string(),
        format!("file://{}", home.display()),
        format!("ext::sh -c touch% {}", mark.display()),
        format!("ssh://-oProxyCommand=touch%20{}/x", mark.display()),
    ];
    for (at, address) in addresses.iter().enumerate() {
        let name = format!("evil{at}");
        server.repository(&name);
        let modules = format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {address}\n");
        server.write(&name, ".gitmodules", &modules);
        let link = format!("160000,{library},lib");
        server.git(&name, &["update-index", "--add", "--cacheinfo", &link]);
        fs::create_dir(server.repository(&name).join("lib")).expect("the name is free");
        server.commit(&name);
        let add = format!("ADD http://{}/{name}/.git /a", server.address());
        let (code, message) = match at {
            3 => (4, "blocked"),
            _ => (3, "which is not allowed"),
        };
        drop(build(&env, &add, &[]).run().code(code).says(message));
        assert!(!mark.exists(), "{address} ran a program");
    }
}

#[test]
fn a_stopped_build_leaves_no_git_behind() {
    let (env, _) = world();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("the listener is bound");
    let (asked, wait) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("git connects");
        asked.send(()).expect("the test waits");
        // Never answers; returns when git is gone.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let mut build = build(&env, &format!("ADD http://{address}/silent.git /a"), &[]).start();
    wait.recv_timeout(Duration::from_mins(1))
        .expect("git asks the server");
    build.interrupt();
    let status = build.wait(Duration::from_secs(30));
    assert!(!status.success());
    let address = address.to_string();
    let processes = fs::read_dir("/proc").expect("proc is mounted");
    for process in processes.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(
            !(line.starts_with("git") && line.contains(&address)),
            "{line:?} still runs"
        );
    }
}
