// SPDX-License-Identifier: Apache-2.0
//! `kiln registry gc`: one cycle over a registry that nobody serves.

use std::fmt::Write as _;

use registry::server::{self, ServeError};
use registry::storage::{Clock, GcPolicy, GcReport, disk};

use crate::args::registry::{GcArgs, GcPolicyArgs};
use crate::environment;
use crate::report::{self, Failure};
use crate::session::{self, Session};
use crate::text::{size, table};

/// Collects once and says what went.
pub(crate) fn run(args: &GcArgs, session: &Session) -> Result<(), Failure> {
    let default = || session.root().join("registry");
    let storage = args.storage.clone().unwrap_or_else(default);
    let policy = GcPolicy {
        thorough: args.thorough,
        dry_run: args.dry_run,
        ..policy(&args.policy)
    };
    let clock = Clock(environment::now);
    let report = session::block_on_droppable(async {
        let storage = disk::open(&storage, clock).map_err(ServeError::from)?;
        let collected = server::collect(storage, clock, &policy);
        Ok(collected.await?)
    })?;
    report::print(&text(&report, args.dry_run))
}

/// Returns the policy of the flags.
pub(super) fn policy(args: &GcPolicyArgs) -> GcPolicy {
    GcPolicy {
        grace_seconds: args.grace.as_secs(),
        untagged_seconds: args.untagged.map(|untagged| untagged.as_secs()),
        ..GcPolicy::default()
    }
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
