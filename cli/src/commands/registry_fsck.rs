// SPDX-License-Identifier: Apache-2.0
//! `kiln registry fsck`: is the directory of a registry whole, and a new database for one that is
//! not.

use std::fmt::Write as _;
use std::path::Path;

use registry::storage::disk::{self, Rebuilt};
use registry::storage::{Clock, ScrubPolicy};

use super::registry_scrub::{directory, judge, level, open, text};
use crate::args::registry::FsckArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// How many lost names are shown.
const LOST_SHOWN: usize = 100;

/// Checks, rebuilds if asked, and scrubs.
pub(crate) fn run(args: &FsckArgs, session: &Session) -> Result<(), Failure> {
    let storage = directory(args.storage.as_deref(), session);
    if args.rebuild {
        let rebuilt = disk::rebuild(&storage, Clock(environment::now))?;
        report::print(&said(&rebuilt))?;
    } else {
        check(&storage)?;
    }
    let policy = ScrubPolicy {
        level: level(args.level),
        grace_seconds: args.grace.as_secs(),
        dry_run: args.dry_run,
        ..ScrubPolicy::default()
    };
    let report = session::block_on_droppable(async {
        let store = open(&storage).await?;
        if !args.dry_run {
            // Nobody is uploading: the directory is locked.
            store.sweep_sessions().await?;
            store.purge_sessions().await?;
        }
        Ok(store.scrub(&policy).await?)
    })?;
    report::print(&text(&report, &policy))?;
    judge(&report)
}

fn check(storage: &Path) -> Result<(), Failure> {
    let problems = disk::check(storage)?;
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!("the database of {} is damaged", storage.display());
    let failure = Failure::new(Exit::Store, message).body(problems.join("\n") + "\n");
    Err(failure.hint("make it again from the journal and the files: --rebuild"))
}

fn said(rebuilt: &Rebuilt) -> String {
    let mut text = format!(
        "Rebuilt {} tags, {} manifests, {} blobs of repositories\n",
        rebuilt.tags, rebuilt.manifests, rebuilt.memberships
    );
    if let Some(old) = &rebuilt.old {
        writeln!(text, "The old database is {}", old.display()).ok();
    }
    if rebuilt.bad_lines > 0 {
        writeln!(
            text,
            "Lines of the journal that cannot be read: {}",
            rebuilt.bad_lines
        )
        .ok();
    }
    for key in rebuilt.lost.iter().take(LOST_SHOWN) {
        writeln!(text, "Lost: {key}").ok();
    }
    if rebuilt.lost.len() > LOST_SHOWN {
        writeln!(text, "… and {} more", rebuilt.lost.len() - LOST_SHOWN).ok();
    }
    text
}
