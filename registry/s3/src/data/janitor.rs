// SPDX-License-Identifier: Apache-2.0
//! Removes in the background what a request left that nothing needs. What a dying process leaves
//! is found by [`registry::storage::Data::discard`] and `sweep`.

use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::multipart::{self, Progress};
use super::object;
use crate::client::Bucket;

/// Something to remove.
#[derive(Debug)]
pub(super) enum Litter {
    /// Objects with these keys.
    Objects(Vec<String>),
    /// An upload that nobody will complete.
    Upload(Progress),
}

/// Removes litter.
#[derive(Debug)]
pub(super) struct Janitor {
    bucket: Arc<Bucket>,
    tasks: Mutex<JoinSet<()>>,
}

impl Janitor {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        Self {
            bucket,
            tasks: Mutex::default(),
        }
    }

    /// Removes `litter` soon; a failure leaves it to the sweep.
    pub(super) fn take(&self, litter: Litter) {
        if matches!(&litter, Litter::Objects(keys) if keys.is_empty()) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let bucket = Arc::clone(&self.bucket);
        let mut tasks = self.tasks.lock().expect("no code panics under this lock");
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(
            async move {
                let removed = remove(&bucket, litter).await;
                // It is found again, see above.
                drop(removed);
            },
            &runtime,
        );
    }
}

async fn remove(bucket: &Bucket, litter: Litter) -> Result<(), registry::storage::StorageError> {
    match litter {
        Litter::Upload(upload) => multipart::abort(bucket, &upload.key, &upload.id).await,
        Litter::Objects(keys) => {
            for key in keys {
                object::delete(bucket, &key).await?;
            }
            Ok(())
        }
    }
}
