// SPDX-License-Identifier: Apache-2.0
//! The bytes of objects and parts: in memory, or in files that go with their last reader.
//!
//! Knows nothing of objects: a [`Content`] is a list of segments, each written once, so that the
//! completion of a multipart upload copies nothing.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use s3s::StdError;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Bytes that stay in memory although there is a directory.
const SPILL_BYTES: usize = 256 << 10;
/// Bytes that are read, or handed on, at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// Bytes that were received together.
#[derive(Debug)]
enum Segment {
    Memory(Bytes),
    File(SpillFile),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.len,
        }
    }
}

/// A file that goes with its last reader.
#[derive(Debug)]
struct SpillFile {
    path: PathBuf,
    len: u64,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // The directory goes with the server anyway.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The bytes of an object or a part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    segments: Vec<Arc<Segment>>,
    len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the content that consists of `bytes`.
    pub(crate) fn of(bytes: Bytes) -> Self {
        let segment = Segment::Memory(bytes);
        let len = segment.len();
        let segments = vec![Arc::new(segment)];
        Self { segments, len }
    }

    /// Appends `other`, without a copy.
    pub(crate) fn append(&mut self, other: &Self) {
        self.segments.extend(other.segments.iter().cloned());
        self.len += other.len;
    }

    /// The bytes of `range`, which is within the content, in chunks.
    pub(crate) fn read(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
        let mut rest = VecDeque::new();
        let mut start = 0;
        for segment in &self.segments {
            let end = start + segment.len();
            let from = range.start.clamp(start, end);
            let to = range.end.clamp(start, end);
            if from < to {
                rest.push_back((Arc::clone(segment), from - start..to - start));
            }
            start = end;
        }
        let reader = Reader { rest, open: None };
        stream::try_unfold(reader, Reader::next)
    }
}

/// Where a read is.
struct Reader {
    /// What is still to be read of each segment.
    rest: VecDeque<(Arc<Segment>, Range<u64>)>,
    /// The file of the first one, at the start of its range.
    open: Option<File>,
}

impl Reader {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let Some((segment, range)) = self.rest.front_mut() else {
            return Ok(None);
        };
        let size = CHUNK_BYTES.min(range.end - range.start);
        let chunk = match &**segment {
            Segment::Memory(bytes) => bytes.slice(index(range.start)..index(range.start + size)),
            Segment::File(spilled) => {
                let file = match &mut self.open {
                    Some(file) => file,
                    none => {
                        let mut file = File::open(&spilled.path).await?;
                        file.seek(SeekFrom::Start(range.start)).await?;
                        none.insert(file)
                    }
                };
                let mut buffer = BytesMut::zeroed(index(size));
                file.read_exact(&mut buffer).await?;
                buffer.freeze()
            }
        };
        range.start += size;
        if range.start == range.end {
            self.rest.pop_front();
            self.open = None;
        }
        Ok(Some((chunk, self)))
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("kiln's targets have 64 bits")
}

/// Where bodies go as they arrive.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: Option<TempDir>,
    files: AtomicU64,
}

impl Spool {
    /// A spool below `directory`, or in memory.
    pub(crate) fn new(directory: Option<&Path>) -> io::Result<Self> {
        let directory = directory.map(tempfile::tempdir_in).transpose()?;
        let files = AtomicU64::new(0);
        Ok(Self { directory, files })
    }

    /// Receives `body`, and shows every chunk to `look`.
    pub(crate) async fn receive(
        &self,
        mut body: impl Stream<Item = Result<Bytes, StdError>> + Unpin,
        mut look: impl FnMut(&[u8]),
    ) -> Result<Content, StdError> {
        let mut memory = BytesMut::new();
        let mut spilled: Option<(File, SpillFile)> = None;
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            look(&chunk);
            memory.extend_from_slice(&chunk);
            if memory.len() < SPILL_BYTES {
                continue;
            }
            if let Some(directory) = &self.directory {
                if spilled.is_none() {
                    spilled = Some(self.create(directory.path()).await?);
                }
                if let Some((file, spill)) = &mut spilled {
                    file.write_all(&memory).await?;
                    spill.len += memory.len() as u64;
                    memory.clear();
                }
            }
        }
        let segment = match spilled {
            None => Segment::Memory(memory.freeze()),
            Some((mut file, mut spill)) => {
                file.write_all(&memory).await?;
                file.flush().await?;
                spill.len += memory.len() as u64;
                Segment::File(spill)
            }
        };
        let len = segment.len();
        let segments = vec![Arc::new(segment)];
        Ok(Content { segments, len })
    }

    async fn create(&self, directory: &Path) -> io::Result<(File, SpillFile)> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(number.to_string());
        let file = File::create_new(&path).await?;
        Ok((file, SpillFile { path, len: 0 }))
    }
}
