// SPDX-License-Identifier: Apache-2.0
//! From a file, the environment and flags to the settings of a registry.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::settings::{self, Effective, File, Flag, Layers, Period, Problem, Settings};

use crate::args::registry::{PlaceArgs, ServeArgs, SourceArgs, StateArgs};
use crate::report::{self, Exit, Failure};
use crate::session::Session;

/// The file that is read unless another is named.
const SYSTEM_FILE: &str = "/etc/kiln/registry.toml";
/// Where distribution keeps content, below its directory.
const CONTENT_OF_DISTRIBUTION: &str = "docker/registry/v2";
/// The largest file that is read.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Settings, and what they are called in messages.
#[derive(Debug)]
pub(crate) struct Found {
    /// The settings in force.
    pub(crate) effective: Effective,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Resolves the settings of `source`, the environment and `flags`.
pub(crate) fn resolve(
    source: &SourceArgs,
    flags: Vec<Flag>,
    session: &Session,
) -> Result<Found, Failure> {
    let mut layers = Layers {
        variables: session.environment.beginning_with(settings::PREFIX),
        flags,
        ..Layers::default()
    };
    let mut file = source.config.clone();
    let mut content = None;
    if let Some(path) = &source.distribution_config {
        let text = read(path)?;
        let variables = session
            .environment
            .beginning_with(settings::distribution::PREFIX);
        let converted = settings::distribution::convert(&File::new(path, text), &variables);
        let converted = converted.map_err(|problems| refused(&problems))?;
        for warning in &converted.warnings {
            report::remark(&format!("warning: {warning}"));
        }
        layers.foreign = Some(converted.foreign);
        content = converted.content;
        file = Some(path.clone());
    } else if let Some(path) = &source.config {
        layers.file = Some(File::new(path, read(path)?));
    } else if Path::new(SYSTEM_FILE).exists() {
        layers.file = Some(File::new(SYSTEM_FILE, read(Path::new(SYSTEM_FILE))?));
        file = Some(SYSTEM_FILE.into());
    }
    let effective = settings::resolve(&layers).map_err(|problems| refused(&problems))?;
    let ours = effective.settings.storage.directory.as_deref();
    if let (Some(theirs), Some(ours)) = (&content, ours)
        && let Some(warning) = not_taken_over(theirs, ours)
    {
        report::remark(&format!("warning: {warning}"));
    }
    Ok(Found { effective, file })
}

/// Returns what to tell if distribution has content in `theirs`, and we have none in `ours` yet.
fn not_taken_over(theirs: &Path, ours: &Path) -> Option<Problem> {
    let is_there = theirs.join(CONTENT_OF_DISTRIBUTION).is_dir();
    if !is_there || ours.join("version").exists() {
        return None;
    }
    let (theirs, ours) = (theirs.display(), ours.display());
    let warning = Problem::new(format!(
        "the content in {theirs} is not taken over by itself"
    ));
    let command = format!("kiln registry import {theirs} --storage {ours}");
    Some(warning.hint(format!("before serving, run `{command}`")))
}

/// Returns the failure that tells all `problems`.
pub(crate) fn refused(problems: &[Problem]) -> Failure {
    let texts = problems.iter().map(|problem| format!("error: {problem}"));
    Failure::silent(Exit::Usage).body(texts.collect())
}

/// Resolves the settings of a registry that a command works on without serving it.
pub(crate) fn resolve_place(place: &PlaceArgs, session: &Session) -> Result<Settings, Failure> {
    let flags = place.storage.iter().map(|path| Flag {
        name: "--storage",
        key: "storage.directory",
        value: path.display().to_string(),
    });
    let found = resolve(&place.source, flags.collect(), session)?;
    Ok(found.effective.settings)
}

/// Returns what the flags of `serve` set.
pub(crate) fn flags_of(args: &ServeArgs) -> Vec<Flag> {
    let mut flags = flags_of_state(&args.state);
    let address = args.addr.map(|address| address.to_string());
    let every = |every: Option<Duration>| every.map(|every| Period(every).to_string());
    for (name, key, value) in [
        ("--addr", "http.address", address),
        ("--gc-every", "gc.every", every(args.gc_every)),
        ("--scrub-every", "scrub.every", every(args.scrub_every)),
    ] {
        flags.extend(value.map(|value| Flag { name, key, value }));
    }
    flags
}

/// Returns what the flags about the state set.
pub(crate) fn flags_of_state(args: &StateArgs) -> Vec<Flag> {
    let directory = args.storage.as_ref();
    let directory = directory.map(|path| path.display().to_string());
    let grace = args.gc_grace.map(|grace| Period(grace).to_string());
    let untagged = args.gc_untagged.map(|age| Period(age).to_string());
    let flags = [
        ("--storage", "storage.directory", directory),
        ("--gc-grace", "gc.grace", grace),
        ("--gc-untagged", "gc.untagged", untagged),
    ];
    let set = flags.into_iter();
    set.filter_map(|(name, key, value)| value.map(|value| Flag { name, key, value }))
        .collect()
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = || -> io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_MAX_BYTES).read_to_string(&mut text)?;
        Ok(text)
    };
    text().map_err(|error| {
        let message = format!("cannot read configuration file {}", path.display());
        Failure::usage(message).because(Some(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_distribution_is_told_about_until_there_is_a_registry() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path(), folder.path().join("kiln"));
        assert!(not_taken_over(theirs, &ours).is_none(), "nothing is there");
        std::fs::create_dir_all(theirs.join("docker/registry/v2/blobs")).unwrap();
        let told = not_taken_over(theirs, &ours).unwrap().to_string();
        let command = format!(
            "`kiln registry import {} --storage {}`",
            theirs.display(),
            ours.display()
        );
        assert!(told.contains(&command), "{told}");
        std::fs::create_dir(&ours).unwrap();
        std::fs::write(ours.join("version"), "1\n").unwrap();
        assert!(not_taken_over(theirs, &ours).is_none(), "it was imported");
    }
}
