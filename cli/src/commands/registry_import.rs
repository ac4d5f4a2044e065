// SPDX-License-Identifier: Apache-2.0
//! `kiln registry import`: takes over the directory or bucket of another registry.

use std::fmt::Write as _;

use registry::import::{ImportReport, import, import_bucket};
use registry::settings::Settings;
use registry_s3::{BucketConfig, ForeignBucket};

use super::registry_scrub::{json, open};
use super::registry_settings::resolve_place;
use super::registry_state::{State, own_bucket};
use crate::args::registry::{RegistryImportArgs, SourceBucketArgs};
use crate::report::{self, Failure};
use crate::session::{self, Session};
use crate::text::size;

/// What an address of a bucket starts with.
const BUCKET: &str = "s3://";

/// Imports and says what came, and what not.
pub(crate) fn run(args: &RegistryImportArgs, session: &Session) -> Result<(), Failure> {
    let settings = resolve_place(&args.place, session)?;
    let state = State::of(&settings, Some(session.root()))?;
    let source = args.source.to_string_lossy();
    let address = source.strip_prefix(BUCKET);
    let bucket = address.map(|address| bucket(address, &args.bucket, &settings));
    let bucket = bucket.transpose()?;
    if bucket.is_some() && args.trust {
        let failure = Failure::usage("--trust is for directories");
        return Err(failure.hint("all bytes of a bucket are copied, and hashed on the way"));
    }
    let report = session::block_on_droppable(async {
        let store = open(&state).await?;
        Ok(match &bucket {
            Some(config) => {
                let objects = Box::new(ForeignBucket::new(config).await);
                import_bucket(&store, objects).await?
            }
            None => import(&store, &args.source, args.trust).await?,
        })
    })?;
    if args.json {
        return report::print(&json(&report)?);
    }
    report::print(&text(&report))
}

/// Returns how to reach `address`, a bucket and a prefix.
///
/// Unless the store is named it is the one that the registry's own bucket is in, reached with the
/// same keys; keys of our configuration are never sent to another one.
fn bucket(
    address: &str,
    args: &SourceBucketArgs,
    settings: &Settings,
) -> Result<BucketConfig, Failure> {
    let (name, prefix) = address.split_once('/').unwrap_or((address, ""));
    if name.is_empty() {
        return Err(Failure::usage(format!("{BUCKET}{address} names no bucket")));
    }
    let mut config = match own_bucket(&settings.storage.s3)? {
        Some(own) if args.endpoint.is_none() => BucketConfig {
            bucket: name.to_owned(),
            ..own
        },
        _ => BucketConfig::new(name),
    };
    prefix.trim_matches('/').clone_into(&mut config.prefix);
    if args.endpoint.is_some() {
        config.endpoint.clone_from(&args.endpoint);
    }
    if args.region.is_some() {
        config.region.clone_from(&args.region);
    }
    config.path_style |= args.path_style;
    Ok(config)
}

fn text(report: &ImportReport) -> String {
    let mut text = String::new();
    for skipped in &report.skipped {
        writeln!(text, "Left out {}: {}", skipped.what, skipped.why).ok();
    }
    if report.skipped_left_out > 0 {
        writeln!(text, "… and {} more", report.skipped_left_out).ok();
    }
    let ImportReport {
        repositories,
        tags,
        manifests,
        blobs,
        ..
    } = report;
    writeln!(
        text,
        "Imported {tags} tags, {manifests} manifests, {blobs} blobs ({}) of {repositories} repositories",
        size(report.bytes)
    )
    .ok();
    if report.unchanged > 0 {
        writeln!(text, "{} were there already", report.unchanged).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use registry::settings::Secret;

    use super::*;

    #[test]
    fn keys_of_the_configuration_go_to_its_own_store_alone() {
        let mut settings = Settings::default();
        let args = |endpoint: Option<&str>| SourceBucketArgs {
            endpoint: endpoint.map(str::to_owned),
            region: None,
            path_style: false,
        };
        let bare = bucket("old/a/b/", &args(None), &settings).unwrap();
        assert_eq!((&*bare.bucket, &*bare.prefix), ("old", "a/b"));
        assert!(bare.endpoint.is_none() && bare.credentials.is_none());

        settings.storage.s3.bucket = Some("new".into());
        settings.storage.s3.prefix = "kiln".into();
        settings.storage.s3.endpoint = Some("https://store.example".into());
        settings.storage.s3.access_key_id = Some("id".into());
        settings.storage.s3.secret_access_key = Some(Secret::new("secret"));
        let same = bucket("old", &args(None), &settings).unwrap();
        assert_eq!((&*same.bucket, &*same.prefix), ("old", ""));
        assert_eq!(same.endpoint.as_deref(), Some("https://store.example"));
        assert!(same.credentials.is_some());

        let other = args(Some("https://other.example"));
        let other = bucket("old", &other, &settings).unwrap();
        assert_eq!(other.endpoint.as_deref(), Some("https://other.example"));
        assert!(other.credentials.is_none(), "keys of another store");
        assert!(bucket("", &args(None), &settings).is_err());
    }
}
