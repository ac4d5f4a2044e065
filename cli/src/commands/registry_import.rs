// SPDX-License-Identifier: Apache-2.0
//! `kiln registry import`: takes over the directory of another registry.

use std::fmt::Write as _;

use registry::import::{ImportReport, import};

use super::registry_scrub::{json, open};
use super::registry_settings::resolve_place;
use super::registry_state::State;
use crate::args::registry::RegistryImportArgs;
use crate::report::{self, Failure};
use crate::session::{self, Session};
use crate::text::size;

/// What an address of a bucket starts with.
const BUCKET: &str = "s3://";

/// Imports and says what came, and what not.
pub(crate) fn run(args: &RegistryImportArgs, session: &Session) -> Result<(), Failure> {
    if args.source.to_string_lossy().starts_with(BUCKET) {
        let failure = Failure::usage("a bucket cannot be imported");
        return Err(failure.hint("copy it to a directory first, for instance with `aws s3 sync`"));
    }
    let state = State::of(&resolve_place(&args.place, session)?, Some(session.root()))?;
    let report = session::block_on_droppable(async {
        let store = open(&state).await?;
        Ok(import(&store, &args.source, args.trust).await?)
    })?;
    if args.json {
        return report::print(&json(&report)?);
    }
    report::print(&text(&report))
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
