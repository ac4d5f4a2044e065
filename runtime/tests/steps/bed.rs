// SPDX-License-Identifier: Apache-2.0
//! What the cases run on: a runtime, and a tiny root file system made of busybox.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use runtime::{ExitStatus, Mount, MountSource, Output, Overlay, RunError, Runtime, Step, Stream};

pub(crate) struct Bed {
    pub(crate) runtime: Runtime,
    pub(crate) tokio: tokio::runtime::Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) base: PathBuf,
    count: Cell<u32>,
}

/// What a step did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Result<ExitStatus, RunError>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) upper: PathBuf,
}

impl Ran {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.as_ref().ok().and_then(|status| status.code)
    }

    /// The paths in the upper directory, sorted.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.upper, &self.upper, &mut found);
        found.sort();
        found
    }

    pub(crate) fn error(&self) -> String {
        use std::error::Error;
        let error = self.status.as_ref().unwrap_err();
        let source = error.source().map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    }
}

fn list(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            list(root, &path, found);
        }
    }
}

const APPLETS: &[&str] = &[
    "sh", "cat", "chown", "chmod", "echo", "grep", "head", "hostname", "id", "ip", "kill", "ln",
    "ls", "mkdir", "mknod", "mount", "mv", "pwd", "readlink", "rm", "rmdir", "sed", "sleep",
    "sort", "stat", "stty", "touch", "tr", "true", "tty", "umask", "unshare", "wc", "dd", "env",
    "find",
];

impl Bed {
    pub(crate) fn new(runtime: Runtime, dir: &Path) -> Self {
        let base = dir.join("base");
        fs::create_dir_all(base.join("bin")).unwrap();
        fs::create_dir_all(base.join("etc")).unwrap();
        fs::create_dir_all(base.join("tmp")).unwrap();
        fs::create_dir_all(base.join("data")).unwrap();
        fs::write(base.join("data/file"), "").unwrap();
        fs::copy("/bin/busybox", base.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
        fs::write(base.join("etc/passwd"), passwd).unwrap();
        let group = "root:x:0:\nvideo:x:44:app\napp:x:1001:\n";
        fs::write(base.join("etc/group"), group).unwrap();
        fs::write(base.join("etc/plain"), "not a program").unwrap();
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        Self {
            runtime,
            tokio: tokio::runtime::Runtime::new().unwrap(),
            dir: dir.to_owned(),
            base,
            count: Cell::new(0),
        }
    }

    /// A directory that no other case uses.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        self.count.set(self.count.get() + 1);
        let path = self.dir.join(format!("{}-{name}", self.count.get()));
        fs::create_dir(&path).unwrap();
        path
    }

    /// A root of `lower` over the base, with a fresh upper directory.
    pub(crate) fn root(&self, lower: &[&Path]) -> Overlay {
        let lower = lower.iter().map(|path| path.to_path_buf());
        Overlay {
            lower: lower.chain([self.base.clone()]).collect(),
            upper: Some((self.fresh("upper"), self.fresh("work"))),
        }
    }

    pub(crate) fn args(&self, args: &[&str]) -> Step {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut step = Step::new(args, self.root(&[]));
        step.env
            .push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
        step
    }

    pub(crate) fn script(&self, script: &str) -> Step {
        self.args(&["sh", "-c", script])
    }

    pub(crate) fn run(&self, step: &Step) -> Ran {
        self.run_until(step, std::future::pending())
    }

    pub(crate) fn run_until(&self, step: &Step, cancel: impl Future<Output = ()>) -> Ran {
        self.tokio.block_on(run(&self.runtime, step, cancel))
    }

    /// Runs a script and returns what it wrote to standard output, without the last newline.
    pub(crate) fn output(&self, script: &str) -> String {
        let ran = self.run(&self.script(script));
        assert!(ran.status.is_ok(), "{ran:?}");
        ran.stdout.trim_end().to_owned()
    }
}

pub(crate) async fn run(runtime: &Runtime, step: &Step, cancel: impl Future<Output = ()>) -> Ran {
    let written = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&written);
    let output = Output::Lines(Box::new(move |stream, line| {
        let mut sink = sink.lock().unwrap();
        match stream {
            Stream::Stdout => sink.0.extend_from_slice(line),
            Stream::Stderr => sink.1.extend_from_slice(line),
        }
    }));
    let status = runtime.run(step, output, cancel).await;
    let (stdout, stderr) = written.lock().unwrap().clone();
    Ran {
        status,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        upper: step
            .root
            .upper
            .clone()
            .map(|upper| upper.0)
            .unwrap_or_default(),
    }
}

pub(crate) fn mount(target: &str, source: MountSource, read_only: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        source,
        read_only,
    }
}

pub(crate) fn secret(content: &str) -> MountSource {
    MountSource::File {
        content: content.into(),
        mode: 0o400,
        uid: 0,
        gid: 0,
    }
}

/// Whether a process with this argument is alive anywhere.
pub(crate) fn is_running(argument: &str) -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let cmdline = entry.unwrap().path().join("cmdline");
        let arguments = fs::read(cmdline).unwrap_or_default();
        arguments
            .split(|&byte| byte == 0)
            .any(|part| part == argument.as_bytes())
    })
}

/// Waits, up to a few seconds, for something to become true.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    (0..300).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        condition()
    })
}
