// SPDX-License-Identifier: Apache-2.0
//! Blobs on their way, as docker shows them: a line each, on a terminal with how far it is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci::Digest;
use registry::client::{Outcome, Progress, TransferEvent};

use crate::report;
use crate::text::size;

/// How often lines on a terminal are redrawn.
const REDRAW: Duration = Duration::from_millis(80);

/// Words for one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) moving: &'static str,
    pub(crate) done: &'static str,
    pub(crate) existed: &'static str,
}

/// Words of a pull. Docs: `docker pull`.
pub(crate) const PULL: Words = Words {
    moving: "Downloading",
    done: "Pull complete",
    existed: "Already exists",
};
/// Words of a push. Docs: `docker push`.
pub(crate) const PUSH: Words = Words {
    moving: "Pushing",
    done: "Pushed",
    existed: "Layer already exists",
};

struct Blob {
    digest: Digest,
    done_bytes: u64,
    size_bytes: u64,
    end: Option<String>,
}

struct Lines {
    words: Words,
    screen: Screen,
    is_terminal: bool,
    blobs: Vec<Blob>,
    drawn: usize,
    last: Option<Instant>,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Standard output, as `docker pull`.
    Stdout,
    /// Standard error: standard output belongs to a program.
    Stderr,
    /// Nowhere.
    Quiet,
}

impl Screen {
    /// Returns standard output unless the user wants quiet.
    pub(crate) fn of(quiet: bool) -> Self {
        if quiet { Self::Quiet } else { Self::Stdout }
    }
}

/// Returns a progress that shows blobs on `screen`.
pub(crate) fn progress(words: Words, screen: Screen) -> Progress {
    let is_terminal = match screen {
        Screen::Stdout => io::stdout().is_terminal(),
        Screen::Stderr => io::stderr().is_terminal(),
        Screen::Quiet => return Progress::none(),
    };
    let lines = Arc::new(Mutex::new(Lines {
        words,
        screen,
        is_terminal,
        blobs: Vec::new(),
        drawn: 0,
        last: None,
    }));
    Progress::new(move |event| {
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .event(event);
    })
}

impl Lines {
    fn event(&mut self, event: TransferEvent) {
        match event {
            TransferEvent::Started { digest, size_bytes } => {
                self.blob(&digest).size_bytes = size_bytes;
                self.draw(false);
            }
            TransferEvent::Advanced { digest, done_bytes } => {
                self.blob(&digest).done_bytes = done_bytes;
                self.draw(false);
            }
            TransferEvent::Finished { digest, outcome } => {
                let end = match outcome {
                    Outcome::Existed => self.words.existed.to_owned(),
                    Outcome::Mounted(repository) => format!("Mounted from {}", repository.path()),
                    Outcome::Foreign => "Skipped foreign layer".to_owned(),
                    _ => self.words.done.to_owned(),
                };
                let line = format!("{}: {end}\n", digest.short());
                self.blob(&digest).end = Some(end);
                if self.is_terminal {
                    self.draw(true);
                } else {
                    self.write(&line);
                }
            }
            TransferEvent::Retrying {
                digest,
                host,
                reason,
            } => {
                self.remark(&format!(
                    "{}: retrying with {host}: {reason}\n",
                    digest.short()
                ));
            }
            TransferEvent::MirrorFailed { host, reason } => {
                self.remark(&format!("mirror {host}: {reason}\n"));
            }
            _ => {}
        }
    }

    fn remark(&mut self, line: &str) {
        report::remark(line);
        // What was drawn is above the remark now.
        self.drawn = 0;
    }

    fn blob(&mut self, digest: &Digest) -> &mut Blob {
        let place = self.blobs.iter().position(|blob| blob.digest == *digest);
        let place = place.unwrap_or_else(|| {
            self.blobs.push(Blob {
                digest: digest.clone(),
                done_bytes: 0,
                size_bytes: 0,
                end: None,
            });
            self.blobs.len() - 1
        });
        &mut self.blobs[place]
    }

    fn draw(&mut self, now: bool) {
        let waits = self.last.is_some_and(|last| last.elapsed() < REDRAW);
        if !self.is_terminal || (waits && !now) {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            write!(text, "\x1b[{}A", self.drawn).ok();
        }
        for blob in &self.blobs {
            let name = blob.digest.short();
            match &blob.end {
                Some(end) => writeln!(text, "\r\x1b[K{name}: {end}").ok(),
                None => writeln!(
                    text,
                    "\r\x1b[K{name}: {} {}/{}",
                    self.words.moving,
                    size(blob.done_bytes),
                    size(blob.size_bytes)
                )
                .ok(),
            };
        }
        self.write(&text);
        self.drawn = self.blobs.len();
        self.last = Some(Instant::now());
    }

    /// That nobody reads the progress does not end the transfer.
    fn write(&self, text: &str) {
        match self.screen {
            Screen::Stdout => drop(report::print(text)),
            Screen::Stderr => report::remark(text),
            Screen::Quiet => {}
        }
    }
}
