// SPDX-License-Identifier: Apache-2.0
//! The suites that every [`ImageResolver`] and every [`SourceTimes`] run in their tests.

use oci::{Platform, Reference};

use crate::{ImageResolver, ResolveError, ResolveMode, SourceOp, SourceTimes};

/// Checks what the trait promises, given a `present` image and an `absent` one.
///
/// # Panics
///
/// If the resolver breaks a promise.
///
/// # Cancellation
///
/// For tests; nothing stays behind.
pub async fn image_resolver<R: ImageResolver>(
    resolver: &R,
    present: &Reference,
    absent: &Reference,
    platform: &Platform,
) {
    let first = resolver
        .resolve(present, platform, ResolveMode::Default)
        .await
        .expect("a present image resolves");
    let second = resolver
        .resolve(present, platform, ResolveMode::Default)
        .await
        .expect("a present image resolves again");
    assert_eq!(first.digest, second.digest, "one build sees one digest");
    assert!(
        platform.match_rank(&first.config.platform()).is_some(),
        "the config is for the platform that was asked for"
    );
    let error = resolver
        .resolve(absent, platform, ResolveMode::Default)
        .await
        .expect_err("an absent image does not resolve");
    assert!(
        matches!(error, ResolveError::NotFound { .. }),
        "absence has its own error: {error:?}"
    );
}

/// Checks that an image in a layout is found by its digest in `store`, and in no other.
///
/// # Panics
///
/// If the resolver breaks a promise.
///
/// # Cancellation
///
/// For tests; nothing stays behind.
pub async fn layout_images<R: ImageResolver>(
    resolver: &R,
    store: &str,
    present: &Reference,
    platform: &Platform,
) {
    let found = resolver
        .resolve_layout(store, present, platform)
        .await
        .expect("an image of the layout resolves");
    assert_eq!(Some(&found.digest), present.digest(), "by its digest");
    let elsewhere = resolver
        .resolve_layout("no such store", present, platform)
        .await;
    assert!(
        matches!(elsewhere, Err(ResolveError::NotFound { .. })),
        "an unknown store has nothing: {elsewhere:?}"
    );
}

/// Checks what [`SourceTimes`] promises, given a source of a known time, one without a time of its
/// own, and one that is not there.
///
/// # Panics
///
/// If `times` breaks a promise.
///
/// # Cancellation
///
/// For tests; nothing stays behind.
pub async fn source_times<T: SourceTimes>(
    times: &T,
    (dated, expected): (&SourceOp, i64),
    timeless: &SourceOp,
    absent: &SourceOp,
) {
    for round in ["first", "again"] {
        let time = times.time(dated).await;
        assert_eq!(time.expect("it is there"), Some(expected), "{round}");
    }
    let none = times.time(timeless).await;
    assert_eq!(none.expect("nothing to fetch"), None, "no time is no error");
    let error = times
        .time(absent)
        .await
        .expect_err("what is not there has no time");
    assert!(
        !error.identifier.is_empty(),
        "the error names the source: {error}"
    );
}
