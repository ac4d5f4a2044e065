// SPDX-License-Identifier: Apache-2.0
//! `kiln prune` and `kiln system df`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use oci::layout::GcOptions;

use super::build::{enter, open};
use super::image_list;
use crate::args::system::PruneArgs;
use crate::args::value::duration;
use crate::environment;
use crate::report::{self, Failure};
use crate::session::Session;
use crate::text::{size, table};

/// How long an unused part of the build cache stays. `Ours`: a week, so that Monday's build finds
/// Friday's results.
const UNUSED_DEFAULT: Duration = Duration::from_hours(7 * 24);

/// Removes images without a name, blobs that no image needs, and what the build cache has not used
/// lately; with `--all`, all images and the whole cache.
pub(crate) fn run(args: &PruneArgs, session: &Session) -> Result<(), Failure> {
    let unused_for = unused_for(args)?;
    let what = if args.all {
        "all images and the whole build cache"
    } else {
        "images without a name and what the build cache has not used lately"
    };
    if !args.force && !confirmed(what)? {
        return Ok(());
    }
    // Trees belong to the ids of steps. Before anything starts a thread.
    let runtime = enter(session)?;
    let builder = open(session, Some(runtime))?;
    let layout = builder.layout();
    let mut out = String::new();
    for entry in layout.entries()? {
        if args.all || entry.name.is_none() {
            layout.remove(&entry.descriptor.digest)?;
            let digest = entry.descriptor.digest.to_string();
            writeln!(out, "Deleted: {}", entry.name.unwrap_or(digest)).ok();
        }
    }
    let cache = builder.prune_cache(unused_for)?;
    let blobs = layout.collect(&GcOptions::at(environment::now()), &|_| false)?;
    let freed = cache.freed_bytes + blobs.removed_bytes;
    writeln!(out, "Total reclaimed space: {}", size(freed)).ok();
    report::print(&out)
}

/// Returns how long what goes from the build cache was not used; none if all goes.
fn unused_for(args: &PruneArgs) -> Result<Option<Duration>, Failure> {
    let default = (!args.all).then_some(UNUSED_DEFAULT);
    args.filter.iter().try_fold(default, |_, (name, value)| {
        let value = value.as_deref().unwrap_or_default();
        match (name.as_str(), duration(value)) {
            ("until", Some(duration)) => Ok(Some(duration)),
            _ => Err(
                Failure::usage(format!("--filter {name}={value} is not supported"))
                    .hint("known filters: until=DURATION, e.g. until=24h"),
            ),
        }
    })
}

/// Asks on the terminal; elsewhere `--force` is needed, as nobody could answer.
fn confirmed(what: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "this removes {what}; confirm with --force"
        )));
    }
    report::remark(&format!("This removes {what}. Continue? [y/N] "));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Shows how much space is used.
pub(crate) fn usage(session: &Session) -> Result<(), Failure> {
    let layout = session.layout()?;
    let total: u64 = layout.blobs()?.iter().map(|(_, bytes)| bytes).sum();
    let images = image_list::all(&layout)?;
    let count = images
        .iter()
        .map(|one| one.image.id())
        .collect::<BTreeSet<_>>()
        .len();
    let dry_run = GcOptions {
        dry_run: true,
        ..GcOptions::at(environment::now())
    };
    let reclaimable = layout.collect(&dry_run, &|_| false)?.removed_bytes;
    let row = [
        "Images".to_owned(),
        count.to_string(),
        size(total),
        size(reclaimable),
    ];
    report::print(&table(
        &["TYPE", "TOTAL", "SIZE", "RECLAIMABLE"],
        &[row.to_vec()],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_docker() {
        for (text, seconds) in [
            ("24h", Some(86_400)),
            ("1h30m", Some(5400)),
            ("10s", Some(10)),
            ("7d", Some(604_800)),
            ("", None),
            ("h", None),
            ("5", None),
            ("5w", None),
            ("99999999999999999999h", None),
            ("9999999999999999h", None),
        ] {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
        let mixed = Some(Duration::from_millis(1250));
        assert_eq!(duration("1s250ms"), mixed);
    }
}
