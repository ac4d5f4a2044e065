// SPDX-License-Identifier: Apache-2.0
//! Processes of a test: started with nothing inherited, limited in time, killed as a group.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The time limit of a program that sets none itself.
const TIMEOUT_DEFAULT: Duration = Duration::from_mins(2);

/// A program to run, with an environment that starts empty.
#[derive(Debug)]
pub struct Program {
    command: Command,
    shown: String,
    stdin: Vec<u8>,
    timeout: Duration,
}

impl Program {
    /// Returns a call of `program` without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program);
        let mut command = Command::new(program);
        command.env_clear().process_group(0);
        Self {
            command,
            shown: name.to_string_lossy().into_owned(),
            stdin: Vec::new(),
            timeout: TIMEOUT_DEFAULT,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = impl AsRef<OsStr>>>(self, args: I) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets variables of the environment.
    #[must_use]
    pub fn envs(mut self, vars: &[(OsString, OsString)]) -> Self {
        self.command
            .envs(vars.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.command.current_dir(directory.into());
        self
    }

    /// Sets what the program reads from its standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets the time after which the program is killed and the test fails.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the program to its end.
    pub fn run(mut self) -> Finished {
        let started = Instant::now();
        let mut child = self.spawn_child(Stdio::piped());
        let group = Group::of(&child);
        let input = std::mem::take(&mut self.stdin);
        let stdin = child.stdin.take();
        // A program that ends before it has read its input is none of our business.
        let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait()));
        let in_time = end.recv_timeout(self.timeout).ok();
        let is_late = in_time.is_none();
        let status = in_time.unwrap_or_else(|| {
            group.kill();
            end.recv().expect("the waiter sends once")
        });
        let took = started.elapsed();
        drop(writer.join());
        let finished = Finished {
            command: self.shown,
            status: status.expect("a child can be waited for"),
            stdout: text(&stdout),
            stderr: text(&stderr),
            took,
        };
        assert!(!is_late, "not done after {:?}: {finished}", self.timeout);
        finished
    }

    /// Runs the program, and ends the test unless it succeeds.
    pub fn ok(self) -> Finished {
        self.run().success()
    }

    /// Starts the program and leaves it running.
    pub fn start(mut self) -> Background {
        let mut child = self.spawn_child(Stdio::null());
        let (sender, lines) = mpsc::channel();
        for stream in [
            child
                .stdout
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    // Lines that nobody waits for are read all the same: the program must not
                    // block on a full pipe.
                    drop(sender.send(text));
                }
            });
        }
        let group = Group::of(&child);
        Background {
            command: self.shown,
            child,
            group: Some(group),
            lines,
            seen: Vec::new(),
        }
    }

    fn spawn_child(&mut self, stdin: Stdio) -> Child {
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", self.shown))
    }
}

/// A program that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The call, as typed.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Ends the test unless the program succeeded.
    #[must_use]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Ends the test unless the program exited with `code`.
    #[must_use]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Ends the test unless one of the two outputs contains `text`.
    #[must_use]
    pub fn says(self, text: &str) -> Self {
        let found = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(found, "no `{text}` in: {self}");
        self
    }

    /// Returns standard output without the line end.
    pub fn line(&self) -> &str {
        self.stdout.trim_end()
    }

    /// Returns how many RUN and COPY steps of a build with plain progress were cached.
    pub fn cached_steps(&self) -> usize {
        let text = self.text();
        let cached = text.lines().filter_map(|line| line.strip_suffix(" CACHED"));
        let is_step = |number: &&str| {
            let mut heading = text
                .lines()
                .filter(|line| line.starts_with(&format!("{number} [")));
            heading.any(|line| line.contains("] RUN ") || line.contains("] COPY "))
        };
        cached.filter(is_step).count()
    }

    /// Returns both outputs, standard output first.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.status, self.took, self.stdout, self.stderr
        )
    }
}

/// A program that runs beside the test; killed with its group when dropped.
#[derive(Debug)]
pub struct Background {
    command: String,
    child: Child,
    group: Option<Group>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Background {
    /// Waits until `pick` finds something in a line of either output, and returns that.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = pick(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "`{}`: no {what} after {timeout:?}; it said: {:#?}",
                        self.command, self.seen
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "`{}` ended without {what}; it said: {:#?}",
                        self.command, self.seen
                    )
                }
            }
        }
    }

    /// Returns what the program wrote so far, both outputs mixed.
    pub fn output(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says whether the program still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the program and all it started, at once (`SIGKILL`), and says whether it still ran.
    pub fn kill(mut self) -> bool {
        self.is_running()
    }

    /// Kills the program alone, as `kill -9` does, and says whether it still ran.
    ///
    /// What it started is left to the program's own precautions.
    pub fn kill_alone(mut self) -> bool {
        let running = self.is_running();
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
        self.group = None;
        running
    }

    /// Asks the program to end (`SIGTERM`) and waits until it does.
    pub fn stop(mut self, timeout: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(timeout)
    }

    /// Asks the program to end, and kills it if it does not; says whether it ended by itself.
    pub fn try_stop(mut self, timeout: Duration) -> bool {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + timeout;
        while self.is_running() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        !self.is_running()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = &self.group {
            group.signal(signal);
        }
    }

    /// Sends SIGINT, as Ctrl-C does, to the whole group.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits until the program ends by itself.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() >= deadline {
                let output = self.output();
                panic!(
                    "`{}` still runs after {timeout:?}; it said: {output}",
                    self.command
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
            drop(self.child.wait());
        }
    }
}

/// The process group of a child: the child and what it started and did not move elsewhere.
#[derive(Debug)]
struct Group(Pid);

impl Group {
    fn of(child: &Child) -> Self {
        let id = i32::try_from(child.id()).expect("process ids are positive i32");
        Self(Pid::from_raw(id).expect("a child's id is not zero"))
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // The group may be gone already: that is the wanted state.
        rustix::process::kill_process_group(self.0, signal).ok();
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.read_to_end(&mut bytes));
        }
        sender.send(bytes)
    });
    receiver
}

/// Returns what a reader collected; a grandchild that holds the pipe does not hold us for long.
fn text(output: &Receiver<Vec<u8>>) -> String {
    match output.recv_timeout(Duration::from_secs(10)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::from("(output held open by a process that was left behind)"),
    }
}
