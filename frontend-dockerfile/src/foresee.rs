// SPDX-License-Identifier: Apache-2.0
//! What is wrong with the steps of a file, as far as it shows before any base image is known.
//!
//! The steps are lowered on images that nobody has seen, and of what is found only that counts which
//! no image could make right: a word that is wrong as it stands, or that has no variable in it.
//! `Ours:` a mistake in the last line is told before the first image is asked for.

use graph::ResolvedImage;
use oci::{ImageConfig, Platform, Reference};

use crate::diagnostic::Diagnostic;
use crate::options::BuildOptions;
use crate::span::{SourceText, Word};
use crate::stages::{Base, StageGraph};

/// An image of which nothing is known. Its working directory is so deep that no path leads out.
/// It has a layer, because an image without one is known to have no files.
const UNKNOWN: &str = r#"{"config":{"WorkingDir":"/?/?/?/?/?/?/?/?/?/?/?/?/?/?/?/?"},"rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;

/// Returns the image that stands in for one that was not asked for.
pub(crate) fn unknown_image() -> ResolvedImage {
    ResolvedImage {
        digest: oci::sha256(UNKNOWN.as_bytes()),
        config: ImageConfig::parse(UNKNOWN.as_bytes()).expect("the constant is a config"),
    }
}

/// Checks the names of images, also in stages that are not needed.
///
/// `Observed:` BuildKit 73ed6825 reads all names before it finds out what is needed.
pub(crate) fn names(
    stages: &StageGraph,
    options: &BuildOptions,
    platform: &Platform,
) -> Vec<Diagnostic> {
    let bases = stages.stages.iter().filter_map(|stage| match &stage.base {
        Base::External(name) => Some(Word::new(name.clone(), stage.base_word.span)),
        _ => None,
    });
    let others = stages.externals.iter().cloned();
    let known = |name: &str| {
        let special = format!("{name}::{platform}");
        options.contexts.contains_key(name) || options.contexts.contains_key(&special)
    };
    bases
        .chain(others)
        .filter(|name| !known(&name.text))
        .filter_map(|name| {
            let error = name.text.parse::<Reference>().err()?;
            let lower = name.text.to_lowercase();
            let lower = (lower != name.text && lower.parse::<Reference>().is_ok())
                .then(|| format!("did you mean `{lower}`?"));
            let scheme = name.text.split_once("://");
            let scheme = scheme.map(|(scheme, _)| format!("leave `{scheme}://` out"));
            let hint = stages.hint(&name.text).or(scheme).or(lower);
            let help = hint.unwrap_or_else(|| {
                "write a stage of this file, or an image such as `alpine:3.22` or `host/name:tag`"
                    .to_owned()
            });
            Some(Diagnostic::error(name.span, error.to_string()).help(help))
        })
        .collect()
}

/// Adds the ONBUILD triggers of stages to the stages on top of them.
pub(crate) fn add_triggers(stages: &mut StageGraph, target: usize, problems: &mut Vec<Diagnostic>) {
    let reached = stages.reachable(target);
    for index in (0..reached.len()).filter(|&index| reached[index]) {
        if matches!(stages.stages[index].base, Base::Stage(_)) {
            stages.add_triggers(index, &[], problems);
        }
    }
}

/// Returns those problems that are there whatever the base images say.
pub(crate) fn certain<'a>(
    problems: Vec<Diagnostic>,
    source: &'a SourceText,
    stages: &'a StageGraph,
) -> impl Iterator<Item = Diagnostic> + 'a {
    problems.into_iter().filter(move |problem| {
        let words = source.text().get(problem.span.start..problem.span.end);
        let variable = words.is_none_or(|words| words.contains('$'));
        // The words of a trigger stand elsewhere.
        let trigger = stages.stages.iter().any(|stage| stage.span == problem.span);
        problem.syntax || !(variable || trigger)
    })
}
