// SPDX-License-Identifier: Apache-2.0
//! Multipart uploads: parts that become one object, all at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::CompletedPart;
use s3s::{S3Result, s3_error};

use crate::content::Content;
use crate::store::{Attributes, Object, Precondition, Store};

/// The highest number of a part.
pub(crate) const PART_NUMBER_MAX: i32 = 10_000;

/// One part, as it was last written.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) md5: [u8; 16],
    pub(crate) modified: SystemTime,
}

/// An upload in progress.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) begun: SystemTime,
    pub(crate) parts: BTreeMap<i32, Part>,
    attributes: Attributes,
}

/// Which upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadName {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) id: String,
}

/// What the store asks of parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartRules {
    pub(crate) bytes_min: u64,
    pub(crate) equal: bool,
}

impl Store {
    /// Begins an upload and returns its id.
    pub(crate) fn begin_upload(
        &mut self,
        bucket: &str,
        key: String,
        begun: SystemTime,
        attributes: Attributes,
    ) -> S3Result<String> {
        let bucket = self.bucket_mut(bucket)?;
        bucket.uploads_begun += 1;
        let id = format!("upload-{:016x}", bucket.uploads_begun);
        let upload = Upload {
            begun,
            parts: BTreeMap::new(),
            attributes,
        };
        bucket.uploads.insert((key, id.clone()), upload);
        Ok(id)
    }

    pub(crate) fn upload(&self, name: &UploadName) -> S3Result<&Upload> {
        let uploads = &self.bucket(&name.bucket)?.uploads;
        let found = uploads.get(&(name.key.clone(), name.id.clone()));
        found.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Writes a part; the last writer of a number wins.
    pub(crate) fn put_part(&mut self, name: &UploadName, number: i32, part: Part) -> S3Result<()> {
        let uploads = &mut self.bucket_mut(&name.bucket)?.uploads;
        let upload = uploads
            .get_mut(&(name.key.clone(), name.id.clone()))
            .ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(number, part);
        Ok(())
    }

    pub(crate) fn abort_upload(&mut self, name: &UploadName) -> S3Result<()> {
        let uploads = &mut self.bucket_mut(&name.bucket)?.uploads;
        let removed = uploads.remove(&(name.key.clone(), name.id.clone()));
        removed.map(drop).ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Makes the object of the parts that `chosen` names, and returns its `ETag`.
    ///
    /// An upload that was completed is gone: to complete it again is `NoSuchUpload`. One whose
    /// condition failed stays.
    pub(crate) fn complete_upload(
        &mut self,
        name: &UploadName,
        completion: &Completion,
    ) -> S3Result<String> {
        let upload = self.upload(name)?;
        let parts = chosen_parts(upload, &completion.parts, completion.rules)?;
        let mut content = Content::default();
        let mut sums = Md5::new();
        for part in &parts {
            content.append(&part.content);
            sums.update(&part.md5);
        }
        if completion.len.is_some_and(|len| len != content.len()) {
            return Err(s3_error!(InvalidRequest, "the object has another size"));
        }
        let etag = format!("{}-{}", hex(&sums.finalize()), parts.len());
        let object = Object {
            content,
            etag: etag.clone(),
            modified: completion.now,
            attributes: upload.attributes.clone(),
        };
        let condition = &completion.condition;
        self.put(&name.bucket, name.key.clone(), object, condition)?;
        self.abort_upload(name)?;
        Ok(etag)
    }
}

/// How an upload is to end.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) parts: Vec<CompletedPart>,
    pub(crate) rules: PartRules,
    pub(crate) condition: Precondition,
    /// The size that the client expects.
    pub(crate) len: Option<u64>,
    pub(crate) now: SystemTime,
}

/// The parts that `chosen` names, checked.
///
/// Docs: S3 API reference, `CompleteMultipartUpload`, errors.
fn chosen_parts<'a>(
    upload: &'a Upload,
    chosen: &[CompletedPart],
    rules: PartRules,
) -> S3Result<Vec<&'a Part>> {
    if chosen.is_empty() {
        return Err(s3_error!(MalformedXML, "no parts"));
    }
    if !chosen.is_sorted_by(|a, b| a.part_number < b.part_number) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let find = |wanted: &CompletedPart| {
        let part = upload.parts.get(&wanted.part_number?)?;
        let same = wanted.e_tag.as_ref()?.value() == hex(&part.md5);
        same.then_some(part)
    };
    let parts: Option<Vec<&Part>> = chosen.iter().map(find).collect();
    let parts = parts.ok_or_else(|| s3_error!(InvalidPart))?;
    let (last, others) = parts.split_last().expect("there is a part");
    if others
        .iter()
        .any(|part| part.content.len() < rules.bytes_min)
    {
        return Err(s3_error!(EntityTooSmall));
    }
    if let Some(first) = others.first().filter(|_| rules.equal) {
        let size = first.content.len();
        let unequal = others.iter().any(|part| part.content.len() != size);
        if unequal || last.content.len() > size {
            return Err(s3_error!(InvalidPart, "parts but the last have one size"));
        }
    }
    Ok(parts)
}

/// `bytes` in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("text takes all that is written to it");
    }
    text
}
