// SPDX-License-Identifier: Apache-2.0
//! Distribution's storage in a bucket: the file layout of `distribution`, each file an object.
//!
//! One listing in the order of keys goes through all repositories: everything that a repository
//! owns has a key that begins with its name and `/_`, so it comes in one go. Links of blobs and
//! manifests are believed by their keys, because reading each would be a request for each, and
//! because whatever they lead to is hashed; the links of tags are read.
//!
//! Does not know S3: whoever can list and read implements [`Objects`].
//!
//! Observed: distribution 2.8 with its s3 driver, which writes the paths of its directories as keys.

use std::collections::VecDeque;
use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Tag};

use super::report::ImportReport;
use super::source::Found;
use super::{JOBS, distribution};
use crate::endpoint::Name;
use crate::storage::{Answer, StorageError, Stream};

/// Where distribution keeps everything, below its root.
const ROOTS: [&str; 2] = ["docker/registry/v2/", ""];
/// Where repositories lie below that.
const REPOSITORIES: &str = "repositories/";
/// The longest link: a digest of sha512.
const LINK_MAX_BYTES: usize = 256;

/// Objects of somebody else, to be read: a part of a bucket, below some prefix.
pub trait Objects: fmt::Debug + Send + Sync {
    /// Returns the next keys that begin with `prefix` and come after `after`, in order; none at the
    /// end.
    fn list<'a>(&'a self, prefix: &'a str, after: &'a str) -> Answer<'a, Vec<String>>;

    /// Returns how many bytes the object at `key` has, and the bytes.
    ///
    /// # Errors
    ///
    /// [`StorageError::Missing`] if there is none.
    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, (u64, Stream)>;

    /// Returns what the place is called in messages.
    fn shown(&self) -> String;
}

/// A storage of distribution in a bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    objects: Box<dyn Objects>,
    root: &'static str,
}

/// A listing on its way through the repositories.
#[derive(Debug, Default)]
pub(super) struct Walk {
    page: VecDeque<String>,
    after: String,
    is_over: bool,
}

/// What the keys of one repository say.
#[derive(Debug)]
struct Keys {
    name: String,
    blobs: Vec<String>,
    manifests: Vec<String>,
    tags: Vec<String>,
}

impl Bucket {
    /// Finds out where in `objects` distribution's storage is; none if it is not there.
    pub(super) async fn open(objects: Box<dyn Objects>) -> Result<Option<Self>, StorageError> {
        for root in ROOTS {
            let prefix = format!("{root}{REPOSITORIES}");
            if !objects.list(&prefix, "").await?.is_empty() {
                return Ok(Some(Self { objects, root }));
            }
        }
        Ok(None)
    }

    pub(super) fn shown(&self) -> String {
        self.objects.shown()
    }

    /// Returns the next repository; none at the end.
    pub(super) async fn next(
        &self,
        walk: &mut Walk,
        report: &mut ImportReport,
    ) -> Result<Option<Found>, StorageError> {
        while let Some(keys) = self.next_keys(walk).await? {
            if keys.is_empty() {
                continue;
            }
            match keys.name.parse::<Name>() {
                Ok(name) => return Ok(Some(self.found(name, keys, report).await?)),
                Err(error) => report.skip(&keys.name, error),
            }
        }
        Ok(None)
    }

    /// Collects the keys of the next repository.
    async fn next_keys(&self, walk: &mut Walk) -> Result<Option<Keys>, StorageError> {
        let prefix = format!("{}{REPOSITORIES}", self.root);
        let mut keys: Option<Keys> = None;
        loop {
            while let Some(key) = walk.page.front() {
                let own = key.strip_prefix(&prefix).and_then(|it| it.split_once("/_"));
                if let Some((name, own)) = own {
                    let mine = keys.get_or_insert_with(|| Keys::of(name));
                    if mine.name != name {
                        return Ok(keys);
                    }
                    mine.add(own);
                }
                walk.page.pop_front();
            }
            if walk.is_over {
                return Ok(keys);
            }
            walk.page = self.objects.list(&prefix, &walk.after).await?.into();
            match walk.page.back() {
                Some(last) => walk.after.clone_from(last),
                None => walk.is_over = true,
            }
        }
    }

    async fn found(
        &self,
        name: Name,
        keys: Keys,
        report: &mut ImportReport,
    ) -> Result<Found, StorageError> {
        let mut tags = Vec::new();
        let texts = stream::iter(keys.tags).map(|text| self.tag(&name, text));
        let read: Vec<_> = texts.buffered(JOBS).try_collect().await?;
        for (text, linked) in read {
            match (text.parse::<Tag>(), linked) {
                (Ok(tag), Ok(digest)) => tags.push((tag, digest)),
                (Err(_), _) => report.skip(format!("{name}:{text}"), "it is no tag"),
                (_, Err(why)) => report.skip(format!("{name}:{text}"), why),
            }
        }
        let mut digests = |texts: Vec<String>| {
            let mut digests = Vec::new();
            for text in texts {
                match text.parse::<Digest>() {
                    Ok(digest) => digests.push(digest),
                    Err(error) => report.skip(format!("{name}@{text}"), error),
                }
            }
            digests
        };
        Ok(Found {
            blobs: digests(keys.blobs),
            manifests: digests(keys.manifests)
                .into_iter()
                .map(|it| (it, None))
                .collect(),
            tags,
            name,
        })
    }

    /// Reads the link of a tag; the reason why it is none, else.
    async fn tag(
        &self,
        name: &Name,
        text: String,
    ) -> Result<(String, Result<Digest, String>), StorageError> {
        let key = format!(
            "{}{REPOSITORIES}{name}/_manifests/tags/{text}/current/link",
            self.root
        );
        let linked = self.whole(&key, LINK_MAX_BYTES).await?.and_then(|bytes| {
            let link = String::from_utf8_lossy(&bytes);
            link.trim()
                .parse()
                .map_err(|error: oci::ParseDigestError| error.to_string())
        });
        Ok((text, linked))
    }

    /// Returns how many bytes `digest` has, and the bytes.
    pub(super) async fn open_blob(&self, digest: &Digest) -> Result<(u64, Stream), StorageError> {
        let key = format!("{}{}", self.root, distribution::path(digest));
        self.objects.read(&key).await
    }

    /// Returns the bytes of `digest`, at most `limit`; the reason why not, else.
    pub(super) async fn read(
        &self,
        digest: &Digest,
        limit: usize,
    ) -> Result<Result<Vec<u8>, String>, StorageError> {
        let key = format!("{}{}", self.root, distribution::path(digest));
        self.whole(&key, limit).await
    }

    async fn whole(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Result<Vec<u8>, String>, StorageError> {
        let (size_bytes, mut pieces) = match self.objects.read(key).await {
            Ok(opened) => opened,
            Err(error @ StorageError::Missing(_)) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let is_large = |size: u64| size > limit as u64;
        let mut bytes = Vec::new();
        while !is_large(size_bytes) && !is_large(bytes.len() as u64) {
            let Some(piece) = pieces.next().await else {
                return Ok(Ok(bytes));
            };
            let piece = piece.map_err(|error| StorageError::io("read", key.to_owned(), error))?;
            bytes.extend_from_slice(&piece);
        }
        Ok(Err(format!("it has more than {limit} bytes")))
    }
}

impl Keys {
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            blobs: Vec::new(),
            manifests: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// Tells whether nothing was ever pushed to the end.
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty() && self.tags.is_empty()
    }

    /// Takes what follows `<name>/_` in a key. History of tags and uploads under way are nothing.
    fn add(&mut self, own: &str) {
        let parts: Vec<&str> = own.split('/').collect();
        match *parts.as_slice() {
            ["layers", algorithm, hex, "link"] => self.blobs.push(format!("{algorithm}:{hex}")),
            ["manifests", "revisions", algorithm, hex, "link"] => {
                self.manifests.push(format!("{algorithm}:{hex}"));
            }
            ["manifests", "tags", tag, "current", "link"] => self.tags.push(tag.to_owned()),
            _ => {}
        }
    }
}
