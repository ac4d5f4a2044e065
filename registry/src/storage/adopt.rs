// SPDX-License-Identifier: Apache-2.0
//! Taking over what others have by copying it, for every store that cannot do better.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::Digest;

use super::data::{Adopted, Data, Publication, Stage, Stream};
use super::error::StorageError;

/// How much is read and staged at once.
const PIECE_BYTES: usize = 1 << 20;

/// Publishes a copy of the file. Staging hashes it, whoever is trusted.
pub(super) async fn copy<D: Data + ?Sized>(
    data: &D,
    adopted: Adopted,
) -> Result<Publication, StorageError> {
    let Adopted { file, digest, .. } = adopted;
    let failed = |source| StorageError::io("read", digest.to_string(), source);
    let size_bytes = file.metadata().map_err(failed)?.len();
    let stage = Stage::whole(&digest, Some(size_bytes));
    let mut staged = data.stage(stage).await?;
    let file = Arc::new(file);
    let mut offset = 0;
    loop {
        let reader = Arc::clone(&file);
        let task = tokio::task::spawn_blocking(move || piece(&reader, offset));
        let piece = task.await.map_err(io::Error::other).flatten();
        let piece = piece.map_err(failed)?;
        if piece.is_empty() {
            return staged.publish(&digest).await;
        }
        offset += piece.len() as u64;
        staged.append(vec![piece]).await?;
    }
}

/// Publishes bytes that come from elsewhere, said to be those of `digest`.
pub(crate) async fn copy_stream(
    data: &dyn Data,
    digest: &Digest,
    size_bytes: u64,
    mut stream: Stream,
) -> Result<Publication, StorageError> {
    let stage = Stage::whole(digest, Some(size_bytes));
    let mut staged = data.stage(stage).await?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|source| StorageError::io("read", digest.to_string(), source))?;
        staged.append(vec![piece]).await?;
    }
    staged.publish(digest).await
}

fn piece(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}
