// SPDX-License-Identifier: Apache-2.0
//! Lists of objects, uploads and parts, a page at a time.

use s3s::dto::{
    CommonPrefix, EncodingType, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, MultipartUpload,
    Part, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::{strong, upload_name, wire_size};
use crate::listing::{PAGE_KEYS_MAX, Query, page};
use crate::store::Store;
use crate::upload::hex;

/// What a client asked for, within what a page may have.
fn limit(asked: Option<i32>) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(PAGE_KEYS_MAX),
        Some(Ok(asked)) => Ok(asked.min(PAGE_KEYS_MAX)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument, "a limit below zero")),
    }
}

fn count(items: usize) -> Option<i32> {
    i32::try_from(items).ok()
}

/// Escapes what XML cannot carry, if the client asked for that.
struct Names {
    escaped: bool,
}

impl Names {
    fn new(encoding: Option<&EncodingType>) -> Self {
        let escaped = encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
        Self { escaped }
    }

    fn show(&self, name: &str) -> String {
        if !self.escaped {
            return name.to_owned();
        }
        let bytes = url::form_urlencoded::byte_serialize(name.as_bytes());
        bytes.collect::<String>().replace("%2F", "/")
    }
}

pub(super) fn objects(store: &Store, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let bucket = store.bucket(&input.bucket)?;
    let names = Names::new(input.encoding_type.as_ref());
    let max = limit(input.max_keys)?;
    let token = input.continuation_token.as_deref().map(read_token);
    let token = token.transpose()?;
    let page = page(
        &bucket.objects,
        &Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: token.as_deref().or(input.start_after.as_deref()),
            max,
        },
    );
    let key_count = count(page.entries.len() + page.prefixes.len());
    let contents = page
        .entries
        .into_iter()
        .map(|(key, object)| s3s::dto::Object {
            key: Some(names.show(key)),
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(Timestamp::from(object.modified)),
            size: wire_size(object.content.len()),
            ..s3s::dto::Object::default()
        });
    let prefixes = page.prefixes.iter().map(|prefix| CommonPrefix {
        prefix: Some(names.show(prefix)),
    });
    Ok(ListObjectsV2Output {
        contents: Some(contents.collect()),
        common_prefixes: Some(prefixes.collect()),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|last| token_after(&last)),
        key_count,
        max_keys: count(max),
        name: Some(input.bucket),
        prefix: input.prefix.map(|prefix| names.show(&prefix)),
        delimiter: input.delimiter.map(|delimiter| names.show(&delimiter)),
        start_after: input.start_after.map(|after| names.show(&after)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

/// A token for the page after `last`: opaque, so that no client takes it for a key.
fn token_after(last: &str) -> String {
    hex(last.as_bytes())
}

fn read_token(token: &str) -> S3Result<String> {
    let pair = |at: usize| u8::from_str_radix(token.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..token.len()).step_by(2).map(pair).collect();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "not a continuation token of this server"))
}

pub(super) fn uploads(
    store: &Store,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    if input.delimiter.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "lists of uploads take no delimiter"
        ));
    }
    let bucket = store.bucket(&input.bucket)?;
    let names = Names::new(input.encoding_type.as_ref());
    let max = limit(input.max_uploads)?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let id_marker = input.upload_id_marker.as_deref().unwrap_or_default();
    let wanted = |(key, id): &(String, String)| {
        let after = *key > key_marker
            || (*key == key_marker && !id_marker.is_empty() && id.as_str() > id_marker);
        key.starts_with(prefix) && after
    };
    let mut found: Vec<_> = bucket
        .uploads
        .iter()
        .filter(|(name, _)| wanted(name))
        .take(max + 1)
        .collect();
    let is_truncated = found.len() > max;
    found.truncate(max);
    let last = found
        .last()
        .filter(|_| is_truncated)
        .map(|((key, id), _)| (names.show(key), id.clone()));
    let uploads = found
        .into_iter()
        .map(|((key, id), upload)| MultipartUpload {
            key: Some(names.show(key)),
            upload_id: Some(id.clone()),
            initiated: Some(Timestamp::from(upload.begun)),
            ..MultipartUpload::default()
        });
    Ok(ListMultipartUploadsOutput {
        uploads: Some(uploads.collect()),
        is_truncated: Some(is_truncated),
        next_key_marker: last.as_ref().map(|(key, _)| key.clone()),
        next_upload_id_marker: last.map(|(_, id)| id),
        max_uploads: count(max),
        bucket: Some(input.bucket),
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        prefix: input.prefix,
        encoding_type: input.encoding_type,
        ..ListMultipartUploadsOutput::default()
    })
}

pub(super) fn parts(store: &Store, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let name = upload_name(input.bucket, input.key, input.upload_id);
    let upload = store.upload(&name)?;
    let max = limit(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or_default();
    let mut found: Vec<_> = upload
        .parts
        .range(after.saturating_add(1)..)
        .take(max + 1)
        .collect();
    let is_truncated = found.len() > max;
    found.truncate(max);
    let last = found.last().map(|(number, _)| **number);
    let parts = found.into_iter().map(|(number, part)| Part {
        part_number: Some(*number),
        e_tag: Some(strong(&hex(&part.md5))),
        last_modified: Some(Timestamp::from(part.modified)),
        size: wire_size(part.content.len()),
        ..Part::default()
    });
    Ok(ListPartsOutput {
        parts: Some(parts.collect()),
        is_truncated: Some(is_truncated),
        next_part_number_marker: last.filter(|_| is_truncated),
        part_number_marker: input.part_number_marker,
        max_parts: count(max),
        bucket: Some(name.bucket),
        key: Some(name.key),
        upload_id: Some(name.id),
        ..ListPartsOutput::default()
    })
}
