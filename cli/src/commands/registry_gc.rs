// SPDX-License-Identifier: Apache-2.0
//! `kiln registry gc`: one cycle over a registry that nobody serves.

use std::fmt::Write as _;

use registry::server;
use registry::storage::{Clock, GcPolicy, GcReport};

use super::registry_settings::{self, flags_of_state};
use super::registry_state::State;
use super::serve::policy;
use crate::args::registry::GcArgs;
use crate::environment;
use crate::report::{self, Failure};
use crate::session::{self, Session};
use crate::text::{size, table};

/// Collects once and says what went.
pub(crate) fn run(args: &GcArgs, session: &Session) -> Result<(), Failure> {
    let flags = flags_of_state(&args.state);
    let found = registry_settings::resolve(&args.source, flags, session)?;
    let settings = found.effective.settings;
    let state = State::of(&settings, Some(session.root()))?;
    let policy = GcPolicy {
        thorough: args.thorough,
        dry_run: args.dry_run,
        ..policy(&settings.gc)
    };
    let clock = Clock(environment::now);
    let report = session::block_on_droppable(async {
        let collected = server::collect(state.open(clock).await?, clock, &policy);
        Ok(collected.await?)
    })?;
    report::print(&text(&report, args.dry_run))
}

fn text(report: &GcReport, dry_run: bool) -> String {
    let levels = [
        ("manifests", report.manifests),
        ("blobs of repositories", report.memberships),
        ("contents", report.contents),
    ];
    let rows = levels.map(|(what, level)| {
        vec![
            what.to_owned(),
            level.candidates.to_string(),
            level.rescued.to_string(),
            level.killed.to_string(),
        ]
    });
    let mut text = table(
        &["WITHOUT REFERENCES", "FOUND", "IN USE AGAIN", "REMOVED"],
        &rows,
    );
    if report.repositories_skipped > 0 {
        let count = report.repositories_skipped;
        writeln!(
            text,
            "Left alone: {count} repositories with a manifest of an unknown form"
        )
        .ok();
    }
    let bytes = size(report.bytes);
    let freed = if dry_run { "Would free" } else { "Freed" };
    writeln!(text, "{freed} {bytes}").ok();
    text
}
