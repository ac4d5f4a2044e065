// SPDX-License-Identifier: Apache-2.0
//! The output of a step, line by line.
//!
//! A line is handed on with its newline. Text without one is handed on when nothing more comes for
//! a moment, so that prompts and progress bars show, or when it is very long. Nothing is clipped
//! or changed.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Which stream a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes pieces of output in order of arrival. Called on the task that runs the step; should not
/// block for long, since the step's pipes fill up meanwhile.
pub type LineSink = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Where the output of a step goes.
pub enum Output {
    /// To a function, line by line; standard input is empty.
    Lines(LineSink),
    /// To the streams of this process, which the step shares, input included.
    Inherit,
    /// To a new terminal, which is joined to the one that this process has on its standard input
    /// and output. That is in raw mode meanwhile, and its size is passed on.
    Terminal,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Lines(_) => "Lines",
            Self::Inherit => "Inherit",
            Self::Terminal => "Terminal",
        })
    }
}

/// Longest piece handed on without a newline.
const LINE_BYTES_MAX: usize = 64 << 10;
/// How long to wait for the rest of a line.
pub(crate) const PARTIAL_LINE_WAIT: Duration = Duration::from_millis(100);

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: Stream,
    /// `None` once the step has closed its end.
    pipe: Option<Receiver>,
    pending: Vec<u8>,
}

impl Lines {
    /// Returns the reading end, and the writing end for the step.
    pub(crate) fn new(stream: Stream) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // The step's end stays blocking: programs do not expect EAGAIN on their output.
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
        let lines = Self {
            stream,
            pipe: Some(Receiver::from_owned_fd(read)?),
            pending: Vec::new(),
        };
        Ok((lines, write))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    pub(crate) fn has_partial_line(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads some more. Dropping the future loses nothing. Must not be called once closed.
    pub(crate) async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        self.pending.reserve(8 << 10);
        if !matches!(pipe.read_buf(&mut self.pending).await, Ok(1..)) {
            self.pipe = None;
        }
    }

    /// Hands on every whole line, and the rest too once the stream has ended or is overlong.
    pub(crate) fn hand_on(&mut self, sink: &mut LineSink) {
        let mut rest = self.pending.as_slice();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            sink(self.stream, line);
            rest = after;
        }
        let kept = rest.len();
        self.pending.drain(..self.pending.len() - kept);
        if !self.is_open() || self.pending.len() >= LINE_BYTES_MAX {
            self.flush(sink);
        }
    }

    /// Hands on the beginning of a line.
    pub(crate) fn flush(&mut self, sink: &mut LineSink) {
        if !self.pending.is_empty() {
            sink(self.stream, &self.pending);
            self.pending.clear();
        }
    }
}
