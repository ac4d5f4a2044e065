// SPDX-License-Identifier: Apache-2.0
//! Where a registry's state lies: a directory or a bucket, and how either is opened.

use std::fs;
use std::path::{Path, PathBuf};

use registry::server::ServeError;
use registry::settings::{Problem, Settings, sections};
use registry::storage::{Backend, Clock, disk};
use registry_s3::{BucketConfig, StaticCredentials};

use super::registry_settings::refused;
use crate::report::{self, Failure};

/// Where the state lies.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket.
    Bucket(Box<BucketConfig>),
}

impl State {
    /// Returns where `settings` put the state; `root` is the state directory of the program.
    pub(crate) fn of(settings: &Settings, root: Option<&Path>) -> Result<Self, Failure> {
        if let Some(bucket) = own_bucket(&settings.storage.s3)? {
            return Ok(Self::Bucket(Box::new(bucket)));
        }
        let default = || root.unwrap_or(Path::new("")).join("registry");
        let directory = settings.storage.directory.clone();
        Ok(Self::Directory(directory.unwrap_or_else(default)))
    }

    /// Opens the state, and says what kind of store a bucket is in.
    pub(crate) async fn open(&self, clock: Clock) -> Result<Backend, Failure> {
        let config = match self {
            Self::Directory(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || disk::open(&path, clock));
                let opened = opened.await.expect("opening does not panic");
                return Ok(opened.map_err(ServeError::from)?);
            }
            Self::Bucket(config) => config,
        };
        let opened = registry_s3::open(config, clock).await?;
        if let Some(reason) = opened.reason {
            let mode = opened.mode;
            report::remark(&format!(
                "warning: the store of the bucket is used as {mode}: {reason}\n"
            ));
        }
        Ok(opened.backend)
    }

    /// Returns what the state is called in messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Bucket(config) if config.prefix.is_empty() => format!("s3://{}", config.bucket),
            Self::Bucket(config) => format!("s3://{}/{}", config.bucket, config.prefix),
        }
    }
}

/// Returns the bucket that the registry lies in; none without a name.
pub(super) fn own_bucket(s3: &sections::S3) -> Result<Option<BucketConfig>, Failure> {
    let Some(name) = &s3.bucket else {
        return Ok(None);
    };
    let mut config = BucketConfig::new(name);
    s3.prefix.trim_matches('/').clone_into(&mut config.prefix);
    config.region.clone_from(&s3.region);
    config.endpoint.clone_from(&s3.endpoint);
    config.path_style = s3.path_style;
    config.credentials = credentials(s3)?;
    config.part_bytes = s3.part_size.0;
    config.buffer_bytes = s3.buffer_memory.0;
    config.redirect_from_bytes = s3.redirect_above.map(|size| size.0);
    config.redirect_expiry = s3.redirect_expiry.0;
    Ok(Some(config))
}

fn credentials(s3: &sections::S3) -> Result<Option<StaticCredentials>, Failure> {
    let written = s3.secret_access_key.as_ref();
    let secret = match (&s3.secret_access_key_file, written) {
        (Some(path), _) => Some(secret_in(path)?),
        (None, written) => written.map(|secret| secret.reveal().to_owned()),
    };
    match (s3.access_key_id.clone(), secret) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(StaticCredentials {
            access_key_id,
            secret_access_key,
            session_token: None,
        })),
        (None, None) => Ok(None),
        _ => {
            let message = "`storage.s3.access_key_id` and its secret belong together";
            Err(refused(&[Problem::new(message)]))
        }
    }
}

fn secret_in(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        let message = format!("`storage.s3.secret_access_key_file`: cannot read {path}: {error}");
        refused(&[Problem::new(message)])
    })?;
    Ok(text.trim_end().to_owned())
}
