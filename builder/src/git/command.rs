// SPDX-License-Identifier: Apache-2.0
//! The only place that starts `git`: with an environment of its own, in a process group of its own.
//!
//! Nothing is inherited but what is listed here. Configuration goes through the environment, so
//! that credentials are in no argument and no file.
//!
//! Docs: git(1) §Environment Variables, git-config(1) §Environment; `ssh_config(5)`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::source::GitSource;
use super::ssh::KnownHosts;
use super::{GitError, GitOptions};
use crate::ops::run::DEFAULT_PATH;
use crate::secret::Secrets;

/// The longest answer that is read, in bytes: a repository with 100,000 references has 8 MiB.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// How much of what git said an error can look at, in bytes.
const TAIL_MAX_BYTES: usize = 16 << 10;
/// How long git may be silent. It shows progress, so this is a connection that is gone.
const SILENCE_MAX: Duration = Duration::from_mins(10);
/// How long git has to clean up before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Protocols that a remote, or a submodule of it, may use.
const PROTOCOLS: &str = "http:https:ssh:git";

/// Takes what git says to people, in pieces.
pub(crate) type Log<'a> = dyn Fn(&[u8]) + Send + Sync + 'a;

/// Runs `git` for one source.
pub(crate) struct Git<'a> {
    source: &'a GitSource,
    options: &'a GitOptions,
    authorization: Option<String>,
    ssh: String,
    _hosts: KnownHosts,
    cancel: &'a CancellationToken,
    log: &'a Log<'a>,
}

/// What one run of git works on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place<'a> {
    /// The repository; none for commands that need none.
    pub(crate) git_dir: Option<&'a Path>,
    /// Where its files are.
    pub(crate) work_tree: Option<&'a Path>,
    /// Whether repositories on this machine may be fetched from.
    pub(crate) local: bool,
}

impl<'a> Place<'a> {
    /// A repository without files.
    pub(crate) fn bare(git_dir: &'a Path) -> Self {
        Self {
            git_dir: Some(git_dir),
            ..Self::default()
        }
    }

    /// A repository and its files.
    pub(crate) fn tree(git_dir: &'a Path, work_tree: &'a Path) -> Self {
        Self {
            git_dir: Some(git_dir),
            work_tree: Some(work_tree),
            local: false,
        }
    }
}

/// Surroundings of all runs of git for one source.
pub(crate) struct Surroundings<'a> {
    pub(crate) options: &'a GitOptions,
    pub(crate) secrets: &'a Secrets,
    /// The directory of everything that is kept for git.
    pub(crate) state: &'a Path,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) log: &'a Log<'a>,
}

impl<'a> Git<'a> {
    /// Returns the way to git for `source`.
    ///
    /// # Errors
    ///
    /// [`GitError::BadSecret`], [`GitError::NoAgent`].
    pub(crate) fn new(
        source: &'a GitSource,
        surroundings: &Surroundings<'a>,
    ) -> Result<Self, GitError> {
        let options = surroundings.options;
        if source.remote.is_ssh() && options.ssh_auth_sock.is_none() {
            return Err(GitError::NoAgent);
        }
        let hosts = KnownHosts::new(source, surroundings).map_err(GitError::Run)?;
        Ok(Self {
            source,
            options,
            authorization: source.authorization(surroundings.secrets)?,
            ssh: hosts.command(),
            _hosts: hosts,
            cancel: surroundings.cancel,
            log: surroundings.log,
        })
    }

    pub(crate) fn source(&self) -> &GitSource {
        self.source
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Tells the user something.
    pub(crate) fn say(&self, line: &str) {
        (self.log)(format!("{line}\n").as_bytes());
    }

    /// Runs git and returns its standard output; standard error goes to the log.
    ///
    /// # Errors
    ///
    /// [`GitError`] of what happened.
    ///
    /// # Cancellation
    ///
    /// The whole process group is killed, also if the future is dropped.
    pub(crate) async fn run<S: AsRef<OsStr>>(
        &self,
        place: Place<'_>,
        arguments: &[S],
    ) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment(place))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = place.work_tree.or(place.git_dir) {
            command.current_dir(directory);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::NotInstalled,
            _ => GitError::Run(error),
        })?;
        let mut group = Group::new(child);
        let talk = self.listen(&mut group.child);
        let heard = tokio::select! {
            heard = talk => heard,
            () = self.cancel.cancelled() => Err(GitError::Cancelled),
        };
        let (stdout, tail) = match heard {
            Ok(heard) => heard,
            Err(error) => {
                group.stop().await;
                return Err(error);
            }
        };
        let status = group.wait().await.map_err(GitError::Run)?;
        if status.success() {
            return Ok(stdout);
        }
        let subcommand = arguments
            .iter()
            .find_map(|argument| argument.as_ref().to_str());
        Err(self.failure(subcommand.unwrap_or_default(), &tail))
    }

    /// Reads both streams to their ends.
    async fn listen(&self, child: &mut Child) -> Result<(Vec<u8>, String), GitError> {
        let mut stdout = child.stdout.take().ok_or(GitError::Answer("run"))?;
        let mut stderr = child.stderr.take().ok_or(GitError::Answer("run"))?;
        let (mut answer, mut lines) = (Vec::new(), Lines::default());
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            let step = async {
                tokio::select! {
                    read = read_some(&mut stdout, &mut answer), if out_open => read.map(|n| out_open = n > 0),
                    read = read_some(&mut stderr, &mut lines.pending), if err_open => read.map(|n| err_open = n > 0),
                }
            };
            let read = tokio::time::timeout(SILENCE_MAX, step).await;
            read.map_err(|_| GitError::Stalled(SILENCE_MAX))?
                .map_err(GitError::Run)?;
            if answer.len() > ANSWER_MAX_BYTES {
                return Err(GitError::TooLong);
            }
            lines.flush(self.log);
        }
        Ok((answer, lines.finish(self.log)))
    }

    fn environment(&self, place: Place<'_>) -> Vec<(OsString, OsString)> {
        let path = self.options.path.clone();
        let mut env: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), path.unwrap_or_else(|| DEFAULT_PATH.into())),
            ("GIT_SSH_COMMAND".into(), self.ssh.clone().into()),
        ];
        let protocols = if place.local {
            format!("file:{PROTOCOLS}")
        } else {
            PROTOCOLS.to_owned()
        };
        env.push(("GIT_ALLOW_PROTOCOL".into(), protocols.into()));
        for (name, value) in FIXED {
            env.push((name.into(), value.into()));
        }
        for (name, value) in &self.options.proxies {
            env.push((name.into(), value.into()));
        }
        let mut path = |name: &str, path: Option<&Path>| {
            env.extend(path.map(|path| (name.into(), path.into())));
        };
        path("GIT_SSL_CAINFO", self.options.ca_bundle.as_deref());
        path("SSH_AUTH_SOCK", self.options.ssh_auth_sock.as_deref());
        path("GIT_DIR", place.git_dir);
        path("GIT_WORK_TREE", place.work_tree);
        let config = self.config();
        env.push(("GIT_CONFIG_COUNT".into(), config.len().to_string().into()));
        for (at, (key, value)) in config.into_iter().enumerate() {
            env.push((format!("GIT_CONFIG_KEY_{at}").into(), key.into()));
            env.push((format!("GIT_CONFIG_VALUE_{at}").into(), value.into()));
        }
        env
    }

    fn config(&self) -> Vec<(String, String)> {
        let mut config: Vec<(String, String)> = CONFIG
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(authorization) = &self.authorization {
            let key = format!("http.{}.extraHeader", self.source.remote.scope());
            config.push((key, format!("Authorization: {authorization}")));
        }
        config
    }

    /// Turns what git said into an error that says what to do. git has no codes, only texts; its
    /// language is fixed (`LC_ALL=C`).
    fn failure(&self, command: &str, said: &str) -> GitError {
        let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
        let secret = self.source.wanted_secret();
        if has(&[
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "Host key verification failed",
        ]) {
            return GitError::HostKey(self.source.remote.host.clone());
        }
        if has(&[
            "could not read Username",
            "could not read Password",
            "Authentication failed",
            "Permission denied (",
            "The requested URL returned error: 401",
            "The requested URL returned error: 403",
        ]) {
            return GitError::Denied { secret };
        }
        if has(&[
            "Repository not found",
            "repository not found",
            "does not appear to be a git repository",
            "access denied or repository not exported",
            "The requested URL returned error: 404",
        ]) || (said.contains("repository '") && said.contains("' not found"))
        {
            return GitError::NotFound { secret };
        }
        let message = fatal_lines(said);
        if has(&[
            "Could not resolve host",
            "Failed to connect",
            "Couldn't connect",
            "unable to look up",
            "Connection refused",
            "Connection timed out",
            "Network is unreachable",
            "No route to host",
            "unable to connect",
        ]) {
            return GitError::Unreachable(message);
        }
        GitError::Failed {
            command: command.to_owned(),
            message,
        }
    }
}

/// Variables that are the same in every run.
const FIXED: [(&str, &str); 11] = [
    ("LC_ALL", "C"),
    ("HOME", "/dev/null"),
    ("XDG_CONFIG_HOME", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TEMPLATE_DIR", ""),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_SSH_VARIANT", "ssh"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
];

/// Configuration that is the same in every run.
const CONFIG: [(&str, &str); 12] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    // Ours, whoever runs kiln: the directory is closed to others.
    ("safe.directory", "*"),
    // Nothing goes on after the command has ended.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
];

/// A running git with all its helpers. Dropped, they are killed.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn new(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            child,
            id: id.and_then(Pid::from_raw),
        }
    }

    async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await;
        // Once it is waited for, the number may be somebody else's.
        self.id = None;
        status
    }

    /// Asks it to end, then makes it.
    async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            drop(self.child.wait().await);
        }
        self.id = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It may have ended already.
            kill_process_group(id, signal).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn read_some(from: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>) -> io::Result<usize> {
    to.reserve(8 << 10);
    from.read_buf(to).await
}

/// Standard error as lines: what a later `\r` overwrites is progress, and not kept.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
    tail: String,
}

impl Lines {
    /// Passes whole lines on.
    fn flush(&mut self, log: &Log<'_>) {
        let Some(end) = self
            .pending
            .iter()
            .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        else {
            // No line is this long: it is not text.
            if self.pending.len() > TAIL_MAX_BYTES {
                self.pending.clear();
            }
            return;
        };
        let rest = self.pending.split_off(end + 1);
        let whole = std::mem::replace(&mut self.pending, rest);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let kept = line.strip_suffix(b"\n");
            let Some(kept) = kept else { continue };
            let shown = kept.rsplit(|byte| *byte == b'\r').next().unwrap_or(kept);
            self.keep(shown, log);
        }
    }

    fn keep(&mut self, line: &[u8], log: &Log<'_>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        log(format!("{text}\n").as_bytes());
        self.tail.push_str(text);
        self.tail.push('\n');
        if self.tail.len() > 2 * TAIL_MAX_BYTES {
            let cut = self
                .tail
                .ceil_char_boundary(self.tail.len() - TAIL_MAX_BYTES);
            self.tail.drain(..cut);
        }
    }

    fn finish(mut self, log: &Log<'_>) -> String {
        let rest = std::mem::take(&mut self.pending);
        self.keep(&rest, log);
        self.tail
    }
}

/// Returns the lines of what git said that tell why it failed.
fn fatal_lines(said: &str) -> String {
    let is_reason = |line: &&str| {
        ["fatal: ", "error: ", "remote: ", "ssh: "]
            .iter()
            .any(|prefix| line.starts_with(prefix))
    };
    let reasons: Vec<&str> = said.lines().filter(is_reason).collect();
    let lines = if reasons.is_empty() {
        said.lines().rev().take(1).collect()
    } else {
        reasons
    };
    lines.join("; ")
}
