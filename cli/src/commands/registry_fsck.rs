// SPDX-License-Identifier: Apache-2.0
//! `kiln registry fsck`: is a registry whole, and a new database for a directory that is not.

use std::fmt::Write as _;
use std::path::Path;

use registry::storage::disk::{self, Rebuilt};
use registry::storage::{Clock, ScrubPolicy};

use super::registry_scrub::{judge, level, open, text};
use super::registry_settings::resolve_place;
use super::registry_state::State;
use crate::args::registry::FsckArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// How many lost names are shown.
const LOST_SHOWN: usize = 100;

/// Checks, rebuilds if asked, and scrubs.
pub(crate) fn run(args: &FsckArgs, session: &Session) -> Result<(), Failure> {
    let state = State::of(&resolve_place(&args.place, session)?, Some(session.root()))?;
    match &state {
        State::Directory(storage) if args.rebuild => {
            let rebuilt = disk::rebuild(storage, Clock(environment::now))?;
            report::print(&said(&rebuilt))?;
        }
        State::Directory(storage) => check(storage)?,
        // A bucket has no database of ours: each record is an object.
        State::Bucket(_) if args.rebuild => {
            let message = format!("{} has no database to make again", state.shown());
            return Err(Failure::usage(message)
                .hint("leave out --rebuild: records are looked at one by one"));
        }
        State::Bucket(_) => {}
    }
    let policy = ScrubPolicy {
        level: level(args.level),
        grace_seconds: args.grace.as_secs(),
        dry_run: args.dry_run,
        ..ScrubPolicy::default()
    };
    let report = session::block_on_droppable(async {
        let store = open(&state).await?;
        if !args.dry_run {
            // Nobody is uploading into a directory, which is locked; in a bucket only sessions go
            // that are over.
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
