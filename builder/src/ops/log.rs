// SPDX-License-Identifier: Apache-2.0
//! The log of a step on disk: whole, uncut, so that nothing is lost when a terminal clips it.
//!
//! ```text
//! $KILN_ROOT/logs/<build>/<step>.log    both streams, in order of arrival
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::step_error::StepError;

/// How many of the last lines a failure shows.
const TAIL_LINES: usize = 20;
/// How much of the output a failure looks at, in bytes.
const TAIL_MAX_BYTES: usize = 32 << 10;

/// The open log of one step. The file is made with the first byte: most steps say nothing.
#[derive(Debug)]
pub(crate) struct StepLog {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    error: Option<std::io::Error>,
}

impl StepLog {
    /// Returns the log of step `number` in `directory`.
    pub(crate) fn new(directory: &Path, number: u32) -> Self {
        Self {
            path: directory.join(format!("{number}.log")),
            file: None,
            error: None,
        }
    }

    /// Appends output. An error is kept for [`Self::finish`]: the step goes on.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if let Err(error) = self.try_write(bytes) {
            self.error = Some(error);
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        // A source has two parts: finding out what it is, and fetching it.
        let file = File::options().append(true).create(true).open(&self.path)?;
        let file = BufWriter::new(file);
        self.file.insert(file).write_all(bytes)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    ///
    /// [`StepError::Log`], the first error of any write.
    pub(crate) fn finish(&mut self) -> Result<(), StepError> {
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            self.error.get_or_insert(error);
        }
        match self.error.take() {
            None => Ok(()),
            Some(source) => Err(StepError::Log {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

/// Returns the last lines of a log file, or nothing if there is none.
pub(crate) fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            length.saturating_sub(TAIL_MAX_BYTES as u64),
        ))?;
        file.take(TAIL_MAX_BYTES as u64).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Returns where the log of step `number` is.
pub(crate) fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_whole_and_the_tail_short() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = StepLog::new(directory.path(), 7);
        for line in 0..5000 {
            log.write(format!("line {line}\n").as_bytes());
        }
        log.finish().unwrap();
        let path = path(directory.path(), 7);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 5000);
        let tail = tail(&path);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 4999"));
    }

    #[test]
    fn a_silent_step_has_no_file() {
        let directory = tempfile::tempdir().unwrap();
        StepLog::new(directory.path(), 1).finish().unwrap();
        assert!(!path(directory.path(), 1).exists());
        assert_eq!(tail(&path(directory.path(), 1)), "");
    }
}
