// SPDX-License-Identifier: Apache-2.0
//! Running a step: the request, its output, its end; errors in words.
//!
//! Knows the zygote's protocol; does not know namespaces.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::failure::{Failure, Stage};
use crate::stdio::{LineSink, Lines, Output, PARTIAL_LINE_WAIT, Stream};
use crate::step::Step;
use crate::sys;
use crate::terminal::Terminal;
use crate::zygote::wire::{self, Event, Request, Signal, WindowSize};
use crate::zygote::{Rung, socket};

/// How long output may go on after process 1 has ended; only a process outside the sandbox that
/// was handed the pipe could hold it open.
const OUTPUT_AFTER_END: Duration = Duration::from_secs(2);

/// The way to the zygote. Clones share it; when the last is dropped the zygote ends.
#[derive(Clone, Debug)]
pub struct Runtime {
    zygote: Arc<OwnedFd>,
    rung: Rung,
}

/// How process 1 of a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What this machine could not enforce: `memory`, `pids`, `cpu`, `cgroup-parent`.
    pub unenforced: Vec<String>,
}

impl ExitStatus {
    /// Whether it ended with code 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// The code a shell would show: 128 and the signal's number if one ended it.
    pub fn shell_code(&self) -> i32 {
        self.code
            .unwrap_or_else(|| 128 + self.signal.unwrap_or_default())
    }
}

/// Why a step did not come to its end by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No such program in the root, or none of that name in `PATH`.
    #[error("cannot run `{program}`: {}", if program.contains('/') { "no such file" } else { "not found in PATH" })]
    ProgramNotFound {
        /// The first argument of the step.
        program: String,
    },
    /// The program is there and cannot be executed.
    #[error("cannot run `{program}`")]
    ProgramNotExecutable {
        /// The first argument of the step.
        program: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The user or group is not in the image, or its number is out of range.
    #[error("no user or group `{user}` in the root file system")]
    UnknownUser {
        /// As in [`Step::user`].
        user: String,
    },
    /// Something else on the way to the program.
    #[error("{stage}{}{subject}", if subject.is_empty() { "" } else { " " })]
    Setup {
        /// What was being done.
        stage: Stage,
        /// The path or name concerned; may be empty.
        subject: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The caller's signal came; every process of the step is gone.
    #[error("cancelled")]
    Cancelled,
    /// The zygote process ended, which kills all steps.
    #[error("the zygote process is gone")]
    ZygoteGone,
    /// Pipes, sockets or the terminal on this side.
    #[error("cannot set up the streams of a step")]
    Streams(#[source] std::io::Error),
}

impl RunError {
    /// The exit code a shell, and `docker run`, would give: 127 not found, 126 not executable,
    /// 130 interrupted, 125 for everything else.
    pub fn shell_code(&self) -> i32 {
        match self {
            Self::ProgramNotFound { .. } => 127,
            Self::ProgramNotExecutable { .. } => 126,
            Self::Cancelled => 130,
            _ => 125,
        }
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        let Failure {
            stage,
            subject,
            errno,
        } = failure;
        let source = std::io::Error::from_raw_os_error(errno);
        match (stage, errno) {
            (Stage::Program, libc::ENOENT | libc::ENOTDIR) => {
                Self::ProgramNotFound { program: subject }
            }
            (Stage::Program, _) => Self::ProgramNotExecutable {
                program: subject,
                source,
            },
            (Stage::User, _) => Self::UnknownUser { user: subject },
            _ => Self::Setup {
                stage,
                subject,
                source,
            },
        }
    }
}

impl Runtime {
    pub(crate) fn new(zygote: Arc<OwnedFd>, rung: Rung) -> Self {
        Self { zygote, rung }
    }

    /// Which rung of the ladder this process is on.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Runs a step to its end.
    ///
    /// When `cancel` completes, every process of the step is killed. On return nothing of it is
    /// left: no process, no mount; the upper directory can be read.
    ///
    /// # Errors
    ///
    /// [`RunError::Cancelled`] if `cancel` completed first; the others if the program did not come
    /// to run. A program that fails is no error.
    ///
    /// # Cancellation
    ///
    /// Dropping the future kills the step too, without waiting for it to be gone.
    pub async fn run(
        &self,
        step: &Step,
        output: Output,
        cancel: impl Future<Output = ()>,
    ) -> Result<ExitStatus, RunError> {
        let mut running = self.start(step, output)?;
        let mut cancel = std::pin::pin!(cancel);
        tokio::select! {
            biased;
            () = &mut cancel => {
                running.signal(libc::SIGKILL);
                // Whatever it says now, it was killed.
                drop(running.wait().await);
                Err(RunError::Cancelled)
            }
            ended = running.wait() => ended,
        }
    }

    /// Starts a step. Its output is handled while [`Running::wait`] is awaited.
    ///
    /// Must be called within a tokio runtime that has I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`RunError::Streams`] or [`RunError::ZygoteGone`]; all other errors come from
    /// [`Running::wait`].
    pub fn start(&self, step: &Step, output: Output) -> Result<Running, RunError> {
        let (socket, theirs) = socket::pair().map_err(streams_failed)?;
        let (output, stdio, terminal) = open_output(output).map_err(RunError::Streams)?;
        let request = wire::encode(&Request {
            step: step.clone(),
            terminal,
        });
        let contents = socket::to_memory_file(&request).map_err(streams_failed)?;
        let mut descriptors = vec![contents.as_fd(), theirs.as_fd()];
        descriptors.extend(stdio.iter().map(AsFd::as_fd));
        socket::send(&*self.zygote, &[1], &descriptors).map_err(|_| RunError::ZygoteGone)?;
        rustix::fs::fcntl_setfl(&socket, OFlags::NONBLOCK).map_err(streams_failed)?;
        Ok(Running {
            socket: sys::watch(socket).map_err(RunError::Streams)?,
            output,
            ended: None,
            partial_since: None,
        })
    }
}

fn streams_failed(errno: Errno) -> RunError {
    RunError::Streams(errno.into())
}

/// What this side does with the output.
#[derive(Debug)]
enum Outlet {
    Lines(Box<(Lines, Lines)>, Sink),
    Inherit,
    Terminal(Option<Terminal>),
}

struct Sink(LineSink);

impl std::fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sink")
    }
}

type Opened = (Outlet, Vec<OwnedFd>, Option<WindowSize>);

fn open_output(output: Output) -> std::io::Result<Opened> {
    match output {
        Output::Lines(sink) => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let input = rustix::fs::openat(rustix::fs::CWD, c"/dev/null", flags, Mode::empty())?;
            let (stdout, stdout_end) = Lines::new(Stream::Stdout)?;
            let (stderr, stderr_end) = Lines::new(Stream::Stderr)?;
            let outlet = Outlet::Lines(Box::new((stdout, stderr)), Sink(sink));
            Ok((outlet, vec![input, stdout_end, stderr_end], None))
        }
        Output::Inherit => {
            let stdio = [
                std::io::stdin().as_fd().try_clone_to_owned()?,
                std::io::stdout().as_fd().try_clone_to_owned()?,
                std::io::stderr().as_fd().try_clone_to_owned()?,
            ];
            Ok((Outlet::Inherit, stdio.into(), None))
        }
        Output::Terminal => {
            let size = Terminal::size()?;
            Ok((Outlet::Terminal(None), Vec::new(), Some(size)))
        }
    }
}

/// A step that was started. Dropping it kills the step.
#[derive(Debug)]
pub struct Running {
    socket: AsyncFd<OwnedFd>,
    output: Outlet,
    ended: Option<Result<ExitStatus, RunError>>,
    partial_since: Option<tokio::time::Instant>,
}

impl Running {
    /// Sends a signal, by number, to process 1 of the step. The kernel drops signals for which it
    /// has no handler, except `SIGKILL`; give the step an init to have them act.
    pub fn signal(&self, number: i32) {
        // A step that is over takes no signals; that shows in its status.
        socket::send(
            self.socket.get_ref(),
            &wire::encode(&Signal { number }),
            &[],
        )
        .ok();
    }

    /// Handles output until the step is over.
    ///
    /// # Errors
    ///
    /// As [`Runtime::run`], except [`RunError::Cancelled`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the step running; waiting again goes on where this stopped.
    pub async fn wait(&mut self) -> Result<ExitStatus, RunError> {
        while self.ended.is_none() {
            self.handle_one().await;
        }
        let drained = tokio::time::timeout(OUTPUT_AFTER_END, self.drain()).await;
        if let (Err(_), Outlet::Lines(lines, sink)) = (drained, &mut self.output) {
            lines.0.flush(&mut sink.0);
            lines.1.flush(&mut sink.0);
        }
        self.ended.take().unwrap_or(Err(RunError::ZygoteGone))
    }

    /// Waits for the next piece of output or the next word of the zygote, and handles it.
    async fn handle_one(&mut self) {
        let event = match &mut self.output {
            Outlet::Lines(lines, Sink(sink)) => {
                let (stdout, stderr) = &mut **lines;
                let partial = stdout.has_partial_line() || stderr.has_partial_line();
                let since = self.partial_since.filter(|_| partial);
                let since = since.unwrap_or_else(tokio::time::Instant::now);
                self.partial_since = Some(since);
                tokio::select! {
                    () = stdout.read(), if stdout.is_open() => {
                        self.partial_since = None;
                        return stdout.hand_on(sink);
                    }
                    () = stderr.read(), if stderr.is_open() => {
                        self.partial_since = None;
                        return stderr.hand_on(sink);
                    }
                    () = tokio::time::sleep_until(since + PARTIAL_LINE_WAIT), if partial => {
                        stdout.flush(sink);
                        return stderr.flush(sink);
                    }
                    event = next_event(&self.socket) => event,
                }
            }
            Outlet::Terminal(Some(terminal)) => {
                tokio::select! {
                    () = terminal.pump() => return,
                    event = next_event(&self.socket) => event,
                }
            }
            Outlet::Inherit | Outlet::Terminal(None) => next_event(&self.socket).await,
        };
        self.take(event);
    }

    fn take(&mut self, event: Option<(Event, Vec<OwnedFd>)>) {
        self.ended = match event {
            None => Some(Err(RunError::ZygoteGone)),
            Some((Event::Exited { code, unenforced }, _)) => Some(Ok(ExitStatus {
                code: Some(code),
                signal: None,
                unenforced,
            })),
            Some((Event::Killed { signal, unenforced }, _)) => Some(Ok(ExitStatus {
                code: None,
                signal: Some(signal),
                unenforced,
            })),
            Some((Event::Failed { failure }, _)) => Some(Err(failure.into())),
            Some((Event::Terminal, descriptors)) => {
                let joined = descriptors.into_iter().next().map(Terminal::join);
                match joined {
                    Some(Ok(terminal)) => {
                        self.output = Outlet::Terminal(Some(terminal));
                        None
                    }
                    Some(Err(error)) => Some(Err(RunError::Streams(error))),
                    None => None,
                }
            }
        };
    }

    /// Reads what is still in the pipes.
    async fn drain(&mut self) {
        match &mut self.output {
            Outlet::Lines(lines, Sink(sink)) => {
                for stream in [&mut lines.0, &mut lines.1] {
                    while stream.is_open() {
                        stream.read().await;
                        stream.hand_on(sink);
                    }
                }
            }
            Outlet::Terminal(Some(terminal)) => terminal.drain().await,
            Outlet::Inherit | Outlet::Terminal(None) => {}
        }
    }
}

/// Returns the zygote's next word; `None` if it is gone.
async fn next_event(socket: &AsyncFd<OwnedFd>) -> Option<(Event, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await.ok()?;
        match socket::receive(socket.get_ref()) {
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(_) => return None,
            Ok((bytes, descriptors)) => return Some((wire::decode(&bytes)?, descriptors)),
        }
    }
}
