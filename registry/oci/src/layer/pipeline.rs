// SPDX-License-Identifier: Apache-2.0
//! Blocks in, compressed blocks out in the same order, all cores busy.
//!
//! One thread hashes the blocks as they come (the diff ID), some compress, one hashes and writes
//! the results in order. Channels are bounded; the order is kept by queueing, for each block, the receiving
//! end of its result.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::compress::{BlockCompressor, CompressError, Compression};
use super::writer::{LayerBlob, WriteLayerError};
use crate::{Algorithm, DiffId, Digest, Hasher};

/// How many blocks may wait for each thread.
const QUEUED_PER_THREAD: usize = 2;

type Compressed = Result<Vec<u8>, CompressError>;

struct Job {
    block: Arc<Vec<u8>>,
    result: SyncSender<Compressed>,
}

/// What the last thread did: the sink, or why it stopped.
type Written<W> = Result<(W, Digest, u64), WriteLayerError>;

pub(super) struct Pipeline<W> {
    to_hasher: SyncSender<Arc<Vec<u8>>>,
    to_workers: SyncSender<Job>,
    to_writer: SyncSender<Receiver<Compressed>>,
    hasher: JoinHandle<Digest>,
    workers: Vec<JoinHandle<()>>,
    writer: JoinHandle<Written<W>>,
}

impl<W: Write + Send + 'static> Pipeline<W> {
    pub(super) fn start(sink: W, compression: Compression, threads: NonZero<usize>) -> Self {
        let depth = threads.get() * QUEUED_PER_THREAD;
        let (to_hasher, hashed) = sync_channel::<Arc<Vec<u8>>>(depth);
        let (to_workers, jobs) = sync_channel::<Job>(depth);
        let (to_writer, results) = sync_channel::<Receiver<Compressed>>(depth);
        let jobs = Arc::new(Mutex::new(jobs));
        let workers = (0..threads.get())
            .map(|_| {
                let jobs = Arc::clone(&jobs);
                thread::spawn(move || compress_jobs(&jobs, compression))
            })
            .collect();
        Self {
            to_hasher,
            to_workers,
            to_writer,
            hasher: thread::spawn(move || hash_blocks(&hashed)),
            workers,
            writer: thread::spawn(move || write_results(sink, &results)),
        }
    }

    /// Takes the next block; waits while all queues are full. An error means that the writer has
    /// stopped: [`Self::finish`] says why.
    pub(super) fn push(&mut self, block: Vec<u8>) -> io::Result<()> {
        let block = Arc::new(block);
        let (result, receiver) = sync_channel(1);
        let stopped =
            || io::Error::new(io::ErrorKind::BrokenPipe, "the layer's writer has stopped");
        self.to_writer.send(receiver).map_err(|_| stopped())?;
        let job = Job {
            block: Arc::clone(&block),
            result,
        };
        self.to_workers.send(job).map_err(|_| stopped())?;
        self.to_hasher.send(block).map_err(|_| stopped())
    }

    /// Waits for all threads.
    pub(super) fn finish(self, tar_bytes: u64) -> Result<(W, LayerBlob), WriteLayerError> {
        drop((self.to_hasher, self.to_workers, self.to_writer));
        let diff_id = join(self.hasher);
        for worker in self.workers {
            join(worker);
        }
        let (sink, digest, size_bytes) = join(self.writer)?;
        let blob = LayerBlob {
            diff_id: DiffId(diff_id),
            digest,
            size_bytes,
            tar_bytes,
        };
        Ok((sink, blob))
    }
}

/// Waits for a thread; a panic there is a panic here.
fn join<T>(handle: JoinHandle<T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn hash_blocks(blocks: &Receiver<Arc<Vec<u8>>>) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for block in blocks {
        hasher.update(&block);
    }
    hasher.finish()
}

fn compress_jobs(jobs: &Mutex<Receiver<Job>>, compression: Compression) {
    let mut compressor = BlockCompressor::new(compression);
    loop {
        let job = {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.recv()
        };
        let Ok(Job { block, result }) = job else {
            return;
        };
        let compressed = match &mut compressor {
            Ok(compressor) => compressor.compress(&block),
            // The level was checked before the first block.
            Err(_) => Err(CompressError::Gzip),
        };
        // Nobody listens if the writer stopped; the next push tells the caller.
        drop(result.send(compressed));
    }
}

fn write_results<W: Write>(mut sink: W, results: &Receiver<Receiver<Compressed>>) -> Written<W> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut size_bytes = 0;
    for result in results {
        let Ok(compressed) = result.recv() else {
            // The caller dropped the job: it is stopping.
            break;
        };
        let compressed = compressed.map_err(WriteLayerError::Compress)?;
        hasher.update(&compressed);
        size_bytes += compressed.len() as u64;
        sink.write_all(&compressed).map_err(WriteLayerError::Sink)?;
    }
    Ok((sink, hasher.finish(), size_bytes))
}
