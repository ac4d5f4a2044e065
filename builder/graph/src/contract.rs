// SPDX-License-Identifier: Apache-2.0
//! The suite that every [`ImageResolver`] runs in its tests.

use oci::{Platform, Reference};

use crate::{ImageResolver, ResolveError, ResolveMode};

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
