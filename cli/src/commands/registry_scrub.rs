// SPDX-License-Identifier: Apache-2.0
//! `kiln registry scrub`: a look for damage in a registry that nobody serves.

use std::fmt::Write as _;

use registry::storage::scrub::{Finding, Remedy};
use registry::storage::{
    Clock, ScrubLevel, ScrubPolicy, ScrubReport, SparsePolicy, StorageError, Store,
};

use super::registry_settings::resolve_place;
use super::registry_state::State;
use crate::args::registry::{ScrubArgs, ScrubLevelArg};
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};
use crate::text::size;

/// Scrubs once and says what was found.
pub(crate) fn run(args: &ScrubArgs, session: &Session) -> Result<(), Failure> {
    let state = State::of(&resolve_place(&args.place, session)?, Some(session.root()))?;
    if let State::Directory(path) = &state
        && !path.join("version").exists()
    {
        return Err(StorageError::NoRegistry(path.clone()).into());
    }
    let policy = ScrubPolicy {
        level: level(args.level),
        bytes_per_second: args.rate,
        bytes_max: args.max_bytes,
        grace_seconds: args.grace.as_secs(),
        dry_run: args.dry_run,
    };
    let report = session::block_on_droppable(async {
        let store = open(&state).await?;
        Ok(store.scrub(&policy).await?)
    })?;
    if args.json {
        report::print(&json(&report)?)?;
    } else {
        report::print(&text(&report, &policy))?;
    }
    judge(&report)
}

/// Opens a registry to work on it without serving it.
pub(super) async fn open(state: &State) -> Result<Store, Failure> {
    let clock = Clock(environment::now);
    let backend = state.open(clock).await?;
    Ok(Store::open(backend, clock, SparsePolicy::All).await?)
}

pub(super) fn level(level: ScrubLevelArg) -> ScrubLevel {
    match level {
        ScrubLevelArg::Names => ScrubLevel::Names,
        ScrubLevelArg::Sizes => ScrubLevel::Sizes,
        ScrubLevelArg::Bytes => ScrubLevel::Bytes,
    }
}

/// Returns a report as JSON, for programs.
pub(super) fn json(report: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(report);
    let text = text.map_err(|error| Failure::from_error(Exit::Failed, &error))?;
    Ok(format!("{text}\n"))
}

/// Fails if there is damage that was not mended.
pub(super) fn judge(report: &ScrubReport) -> Result<(), Failure> {
    if !report.has_damage() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Store, "the registry is damaged");
    Err(failure.hint("push the tags named above again: what is quarantined is replaced then"))
}

/// Returns the report for people.
pub(super) fn text(report: &ScrubReport, policy: &ScrubPolicy) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        self::finding(&mut text, finding);
    }
    if report.findings_left_out > 0 {
        writeln!(text, "… and {} more", report.findings_left_out).ok();
    }
    let ScrubReport {
        repositories,
        tags,
        manifests,
        memberships,
        ..
    } = report;
    writeln!(
        text,
        "Looked at {repositories} repositories, {tags} tags, {manifests} manifests, {memberships} blobs"
    )
    .ok();
    if policy.level == ScrubLevel::Bytes {
        let bytes = size(report.verified_bytes);
        let rest = if report.is_complete {
            ""
        } else {
            "; the next scrub goes on there"
        };
        writeln!(text, "Verified {} contents, {bytes}{rest}", report.verified).ok();
    }
    if report.unreadable_records > 0 {
        writeln!(
            text,
            "Records that cannot be read: {}",
            report.unreadable_records
        )
        .ok();
    }
    let (did, removed) = if policy.dry_run {
        ("Would write", "would remove")
    } else {
        ("Wrote", "removed")
    };
    writeln!(
        text,
        "{did} {} missing entries, {removed} {} stale ones, {} files without a record ({}), {} leftovers",
        report.entries_restored,
        report.entries_removed,
        report.orphans,
        size(report.orphan_bytes),
        report.leftovers
    )
    .ok();
    text
}

fn finding(text: &mut String, finding: &Finding) {
    let remedy = remedy(finding.remedy);
    writeln!(text, "{}: {} ({remedy})", finding.digest, finding.damage).ok();
    if !finding.repositories.is_empty() {
        writeln!(text, "  repositories: {}", finding.repositories.join(" ")).ok();
    }
    if !finding.tags.is_empty() {
        writeln!(text, "  tags: {}", finding.tags.join(" ")).ok();
    }
}

/// Returns what was done, for people.
pub(super) fn remedy(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::None => "not mended",
        Remedy::Quarantined => "quarantined until it is pushed again",
        Remedy::Healed => "mended",
        Remedy::Removed => "tag removed",
    }
}
