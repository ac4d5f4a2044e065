// SPDX-License-Identifier: Apache-2.0
//! The operations of S3 over the store.
//!
//! A body is received whole before the lock is taken, so that the condition of a write is checked
//! at the moment at which the write becomes visible.

mod lists;
mod receive;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateBucketInput, CreateBucketOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error,
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput, Range, StreamingBlob,
    Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::content::Spool;
use crate::options::Options;
use crate::store::{Attributes, Object, Precondition, Store, matches};
use crate::upload::{Completion, PART_NUMBER_MAX, Part, PartRules, UploadName, hex};
use receive::{Expected, receive};

/// The most keys that one `DeleteObjects` may name.
///
/// Docs: S3 API reference, `DeleteObjects`.
const DELETE_KEYS_MAX: usize = 1000;

/// A handle to the store behind its lock, and what surrounds it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    store: Arc<Mutex<Store>>,
    spool: Arc<Spool>,
    rules: PartRules,
    clock_skew_seconds: i64,
}

impl Service {
    pub(crate) fn new(options: &Options, spool: Spool) -> Self {
        Self {
            store: Arc::new(Mutex::new(Store::new(&options.name, options.conditions))),
            spool: Arc::new(spool),
            rules: PartRules {
                bytes_min: options.part_bytes_min,
                equal: options.equal_parts,
            },
            clock_skew_seconds: options.clock_skew_seconds,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "a store stamps objects by its own clock"
    )]
    fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        let skew = Duration::from_secs(self.clock_skew_seconds.unsigned_abs());
        if self.clock_skew_seconds < 0 {
            now - skew
        } else {
            now + skew
        }
    }
}

fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

fn wire_size(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}

/// The conditions of a read, named as their headers are.
#[expect(clippy::struct_field_names, reason = "the names of the headers")]
struct ReadCondition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// Spec: RFC 9110 §13.2.2, the order of conditions.
    fn check(&self, object: &Object) -> S3Result<()> {
        let modified = whole_seconds(object.modified);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, &object.etag) => {
                return Err(s3_error!(PreconditionFailed));
            }
            (None, Some(since)) if modified > *since => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if matches(condition, &object.etag) => Err(s3_error!(NotModified)),
            (None, Some(since)) if modified <= *since => Err(s3_error!(NotModified)),
            _ => Ok(()),
        }
    }
}

/// `time` as a header shows it.
fn whole_seconds(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The bytes that `range` asks for, and how the answer names them.
fn selected(range: Option<Range>, len: u64) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else {
        return Ok((0..len, None));
    };
    let bytes = range.check(len)?;
    let name = format!("bytes {}-{}/{len}", bytes.start, bytes.end - 1);
    Ok((bytes, Some(name)))
}

fn upload_name(bucket: String, key: String, id: String) -> UploadName {
    UploadName { bucket, key, id }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let name = request.input.bucket;
        let location = Some(format!("/{name}"));
        self.lock().create_bucket(name)?;
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.lock().bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.lock().bucket(&request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let expected = Expected::of_object(&request);
        let trailers = request.trailing_headers;
        let input = request.input;
        self.lock().bucket(&input.bucket)?;
        let received = receive(&self.spool, input.body, trailers, expected).await?;
        let etag = hex(&received.md5);
        let object = Object {
            content: received.content,
            etag: etag.clone(),
            modified: self.now(),
            attributes: Attributes {
                content_type: input.content_type,
                metadata: input.metadata,
            },
        };
        let condition = Precondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let mut store = self.lock();
        store.put(&input.bucket, input.key, object, &condition)?;
        drop(store);
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(strong(&etag)),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.lock().get(&input.bucket, &input.key)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.check(&object)?;
        let (bytes, content_range) = selected(input.range, object.content.len())?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: wire_size(bytes.end - bytes.start),
            content_range,
            content_type: object.attributes.content_type.clone(),
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(whole_seconds(object.modified)),
            metadata: object.attributes.metadata.clone(),
            body: Some(StreamingBlob::wrap(object.content.read(bytes))),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.lock().get(&input.bucket, &input.key)?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.check(&object)?;
        let (bytes, content_range) = selected(input.range, object.content.len())?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: wire_size(bytes.end - bytes.start),
            content_range,
            content_type: object.attributes.content_type.clone(),
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(whole_seconds(object.modified)),
            metadata: object.attributes.metadata.clone(),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let condition = Precondition::if_match(input.if_match);
        let mut store = self.lock();
        store.delete(&input.bucket, &input.key, &condition)?;
        drop(store);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        if input.delete.objects.len() > DELETE_KEYS_MAX {
            return Err(s3_error!(MalformedXML, "too many keys"));
        }
        let quiet = input.delete.quiet.unwrap_or_default();
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = Precondition::if_match(object.e_tag.map(ETagCondition::ETag));
            // One lock for each: the request is not atomic.
            let result = self.lock().delete(&input.bucket, &object.key, &condition);
            let key = Some(object.key);
            match result {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject {
                    key,
                    ..DeletedObject::default()
                }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key,
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            request_charged: None,
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        lists::objects(&self.lock(), request.input).map(S3Response::new)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let attributes = Attributes {
            content_type: input.content_type,
            metadata: input.metadata,
        };
        let now = self.now();
        let mut store = self.lock();
        let id = store.begin_upload(&input.bucket, input.key.clone(), now, attributes)?;
        drop(store);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let expected = Expected::of_part(&request);
        let trailers = request.trailing_headers;
        let input = request.input;
        if !(1..=PART_NUMBER_MAX).contains(&input.part_number) {
            return Err(s3_error!(InvalidArgument, "no such part number"));
        }
        let name = upload_name(input.bucket, input.key, input.upload_id);
        self.lock().upload(&name)?;
        let received = receive(&self.spool, input.body, trailers, expected).await?;
        let etag = hex(&received.md5);
        let part = Part {
            content: received.content,
            md5: received.md5,
            modified: self.now(),
        };
        self.lock().put_part(&name, input.part_number, part)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(strong(&etag)),
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let name = upload_name(input.bucket, input.key, input.upload_id);
        let parts = input.multipart_upload.and_then(|chosen| chosen.parts);
        let completion = Completion {
            parts: parts.unwrap_or_default(),
            rules: self.rules,
            condition: Precondition {
                if_match: input.if_match,
                if_none_match: input.if_none_match,
            },
            len: input.mpu_object_size.and_then(|size| size.try_into().ok()),
            now: self.now(),
        };
        let etag = self.lock().complete_upload(&name, &completion)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", name.bucket, name.key)),
            bucket: Some(name.bucket),
            key: Some(name.key),
            e_tag: Some(strong(&etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        let name = upload_name(input.bucket, input.key, input.upload_id);
        self.lock().abort_upload(&name)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        lists::uploads(&self.lock(), request.input).map(S3Response::new)
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        lists::parts(&self.lock(), request.input).map(S3Response::new)
    }
}
