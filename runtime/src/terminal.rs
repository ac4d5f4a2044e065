// SPDX-License-Identifier: Apache-2.0
//! Joins the terminal of this process to that of a step (`kiln run -it`).
//!
//! This process's terminal is in raw mode meanwhile, so that the step's terminal does all line
//! editing and turns Ctrl-C into a signal for the step. It is put back on drop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys;
use crate::zygote::wire::WindowSize;

const CHUNK_BYTES: usize = 8 << 10;

/// Two joined terminals.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The user's side of the step's terminal; `None` once the step has closed its side.
    step: Option<AsyncFd<OwnedFd>>,
    /// Standard input; `None` at its end.
    input: Option<AsyncFd<OwnedFd>>,
    output: OwnedFd,
    /// Typed, not yet taken by the step.
    typed: Vec<u8>,
    resized: Signal,
    _raw: RawMode,
}

/// Raw mode of a terminal, ended on drop.
struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl std::fmt::Debug for RawMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RawMode")
    }
}

impl RawMode {
    fn start(terminal: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may have been closed; there is nothing to put back then.
        tcsetattr(&self.terminal, OptionalActions::Drain, &self.before).ok();
    }
}

impl Terminal {
    /// Returns the size of this process's terminal; an error if it has none.
    pub(crate) fn size() -> io::Result<WindowSize> {
        let size = tcgetwinsize(io::stdin())?;
        Ok(WindowSize {
            rows: u32::from(size.ws_row),
            columns: u32::from(size.ws_col),
        })
    }

    /// Joins standard input and output to `step`.
    pub(crate) fn join(step: OwnedFd) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&step, OFlags::NONBLOCK | OFlags::RDWR)?;
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self {
            step: Some(sys::watch(step)?),
            _raw: RawMode::start(input.try_clone()?)?,
            input: Some(sys::watch(input)?),
            output: io::stdout().as_fd().try_clone_to_owned()?,
            typed: Vec::new(),
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// Waits until something can be moved, and moves it. Dropping the future loses nothing.
    pub(crate) async fn pump(&mut self) {
        let Some(step) = &self.step else {
            return std::future::pending().await;
        };
        tokio::select! {
            ready = step.readable() => {
                let Ok(mut ready) = ready else { return self.step = None };
                match read(step.get_ref().as_fd()) {
                    Ok(bytes) if !bytes.is_empty() => write_all(self.output.as_fd(), &bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    // EIO: the last process has closed the step's side.
                    _ => self.step = None,
                }
            }
            ready = step.writable(), if !self.typed.is_empty() => {
                let Ok(mut ready) = ready else { return self.step = None };
                match rustix::io::write(step.get_ref(), &self.typed) {
                    Ok(written) => drop(self.typed.drain(..written)),
                    Err(_) => ready.clear_ready(),
                }
            }
            typed = type_in(self.input.as_ref()), if self.input.is_some() && self.typed.is_empty() => {
                match typed {
                    Some(bytes) => self.typed = bytes,
                    None => self.input = None,
                }
            }
            _ = self.resized.recv() => {
                if let Ok(size) = tcgetwinsize(io::stdin()) {
                    // The step's side may be closed already.
                    tcsetwinsize(step.get_ref(), size).ok();
                }
            }
        }
    }

    /// Shows what the step wrote last.
    pub(crate) async fn drain(&mut self) {
        self.input = None;
        self.typed.clear();
        while self.step.is_some() {
            self.pump().await;
        }
    }
}

/// Returns what was typed; `None` at the end of input. The descriptor may be blocking: only this
/// process reads it, so what was announced is there.
async fn type_in(input: Option<&AsyncFd<OwnedFd>>) -> Option<Vec<u8>> {
    let input = input?;
    let mut ready = input.readable().await.ok()?;
    let bytes = read(input.get_ref().as_fd()).ok()?;
    ready.clear_ready();
    (!bytes.is_empty()).then_some(bytes)
}

fn read(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; CHUNK_BYTES];
    let length = rustix::io::read(fd, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes to this process's output. Nobody may be reading it any more; the step goes on.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
