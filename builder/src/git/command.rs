// SPDX-License-Identifier: Apache-2.0
//! The only place that starts `git`: with an environment of its own, in a process group of its own.
//!
//! Nothing is inherited but what is listed here. Configuration goes through the environment, so
//! that credentials are in no argument and no file.
//!
//! Docs: git(1) §Environment Variables, git-config(1) §Environment; `ssh_config(5)`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::said::{self, Lines};
use super::source::GitSource;
use super::ssh::KnownHosts;
use super::{GitError, GitOptions};
use crate::ops::run::DEFAULT_PATH;
use crate::progress::Stream;
use crate::redact::Redactor;
use crate::secret::Secrets;

/// The longest answer that is read, in bytes: a repository with 100,000 references has 8 MiB.
const ANSWER_MAX_BYTES: usize = 64 << 20;
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
    secrets: &'a Secrets,
    agent: Option<PathBuf>,
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
    /// The socket of the ssh agent that the user has agreed to.
    pub(crate) agent: Option<PathBuf>,
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
        if source.remote.is_ssh() && surroundings.agent.is_none() {
            return Err(GitError::NoAgent);
        }
        let hosts = KnownHosts::new(source, surroundings).map_err(GitError::Run)?;
        Ok(Self {
            source,
            options,
            secrets: surroundings.secrets,
            agent: surroundings.agent.clone(),
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
        let mut redactor = Redactor::new(self.secrets);
        let mut shown = redactor.push(Stream::Stderr, tail.as_bytes());
        shown.extend(redactor.finish(Stream::Stderr));
        let shown = String::from_utf8_lossy(&shown);
        let subcommand = subcommand.unwrap_or_default();
        Err(said::failure(self.source, subcommand, &shown))
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
        path("SSH_AUTH_SOCK", self.agent.as_deref());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_machine_reaches_git_and_no_credential_an_argument() {
        let mut secrets = Secrets::default();
        secrets.insert("GIT_AUTH_TOKEN".into(), b"hunter2".to_vec());
        let op = graph::SourceOp {
            identifier: "git://github.com/a/b.git".into(),
            attrs: [
                ("git.fullurl", "https://github.com/a/b.git"),
                ("git.authtokensecret", "GIT_AUTH_TOKEN"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        };
        let source = GitSource::new(&op).unwrap();
        let surroundings = Surroundings {
            options: &GitOptions::default(),
            secrets: &secrets,
            state: Path::new("/nowhere"),
            agent: None,
            cancel: &CancellationToken::new(),
            log: &|_| {},
        };
        let git = Git::new(&source, &surroundings).unwrap();
        let environment = git.environment(Place::default());
        let get = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name);
            found
                .and_then(|(_, value)| value.to_str())
                .unwrap_or_default()
        };
        assert_eq!(get("GIT_ALLOW_PROTOCOL"), "http:https:ssh:git");
        assert_eq!(get("HOME"), "/dev/null");
        assert_eq!(get("SSH_AUTH_SOCK"), "");
        let last = CONFIG.len();
        assert_eq!(
            get(&format!("GIT_CONFIG_KEY_{last}")),
            "http.https://github.com/.extraHeader"
        );
        let value = get(&format!("GIT_CONFIG_VALUE_{last}"));
        assert!(value.starts_with("Authorization: basic "), "{value}");
        assert!(
            !environment
                .iter()
                .any(|(_, v)| v.to_string_lossy().contains("hunter2"))
        );
    }

    #[tokio::test]
    async fn a_machine_without_git_is_told() {
        let op = graph::SourceOp {
            identifier: "git://h/a.git".into(),
            attrs: std::collections::BTreeMap::new(),
        };
        let source = GitSource::new(&op).unwrap();
        let missing = GitOptions {
            path: Some("/nowhere".into()),
            ..GitOptions::default()
        };
        let surroundings = Surroundings {
            options: &missing,
            secrets: &Secrets::default(),
            state: Path::new("/nowhere"),
            agent: None,
            cancel: &CancellationToken::new(),
            log: &|_| {},
        };
        let git = Git::new(&source, &surroundings).unwrap();
        let error = git.run(Place::default(), &["version"]).await;
        assert!(matches!(error, Err(GitError::NotInstalled)), "{error:?}");
    }
}
