// SPDX-License-Identifier: Apache-2.0
//! The text of `kiln build --explain`: stages, base images, then every step with what it depends
//! on and what would become of it.
//!
//! The order is that of the graph, so two texts can be compared line by line.

mod steps;

use std::fmt::Write as _;

use builder::{Explanation, Fate, ImageUse};
use frontend_dockerfile::explain::{Need, StageUse};
use graph::Op;

use crate::text::{size, table};

/// Returns the whole text.
pub(crate) fn text(stages: &[StageUse], explanation: &Explanation) -> String {
    let mut out = head(stages, explanation);
    out.push('\n');
    out.push_str(&stage_table(stages));
    let images = image_table(explanation);
    if !images.is_empty() {
        out.push('\n');
        out.push_str(&images);
    }
    out.push('\n');
    out.push_str(&steps::text(explanation));
    out.push('\n');
    out.push_str(&sum(explanation));
    out
}

fn head(stages: &[StageUse], explanation: &Explanation) -> String {
    let needed = stages.iter().filter(|stage| stage.need != Need::None);
    let target = stages.iter().find(|stage| stage.need == Need::Target);
    let platforms = explanation.plan.targets.iter();
    let platforms: Vec<String> = platforms.map(|one| one.platform.to_string()).collect();
    let needed = match (needed.count(), stages.len()) {
        (1, 1) => "one stage".to_owned(),
        (needed, all) if needed == all => format!("all {all} stages"),
        (needed, all) => format!("{needed} of {all} stages"),
    };
    let target = target.map_or("", |stage| stage.name.as_str());
    format!(
        "Target {target} for {}: needs {needed}\n",
        platforms.join(", ")
    )
}

fn stage_table(stages: &[StageUse]) -> String {
    let rows: Vec<Vec<String>> = stages
        .iter()
        .map(|stage| {
            let base = match &stage.platform {
                None => stage.base.clone(),
                Some(platform) => format!("{} ({platform})", stage.base),
            };
            let need = match &stage.need {
                Need::Target => "the target".to_owned(),
                Need::Base { of, line } => format!("{of} starts from it (line {line})"),
                Need::Source { of, line } => format!("{of} reads from it (line {line})"),
                Need::None => "not needed: nothing that the target uses refers to it".to_owned(),
            };
            vec![stage.name.clone(), stage.line.to_string(), base, need]
        })
        .collect();
    table(&["STAGE", "LINE", "FROM", "NEEDED"], &rows)
}

fn image_table(explanation: &Explanation) -> String {
    let graph = &explanation.plan.graph;
    let rows: Vec<Vec<String>> = explanation
        .images
        .iter()
        .map(|(id, image)| {
            let vertex = graph.vertex(*id);
            let (name, digest) = match &vertex.op {
                Op::Source(source) => short_reference(&source.identifier),
                _ => (String::new(), String::new()),
            };
            let platform = vertex.platform.as_ref().map(ToString::to_string);
            let fetched = explanation.fates.contains(&(*id, Fate::Fetched));
            vec![
                name,
                digest,
                platform.unwrap_or_default(),
                size(image.size_bytes),
                download(image, fetched),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["IMAGE", "DIGEST", "PLATFORM", "SIZE", "DOWNLOAD"], &rows)
}

/// Takes an identifier apart: the name as people write it, and the beginning of the digest.
fn short_reference(identifier: &str) -> (String, String) {
    let name = identifier
        .split_once("://")
        .map_or(identifier, |(_, name)| name);
    let (name, digest) = name.split_once('@').unwrap_or((name, ""));
    let familiar = name.parse::<oci::Reference>();
    let familiar = familiar.map_or_else(|_| name.to_owned(), |name| name.familiar());
    let digest = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    (familiar, digest.chars().take(12).collect())
}

fn download(image: &ImageUse, fetched: bool) -> String {
    let missing_size = size(image.missing_bytes);
    match (image.missing_layers, fetched) {
        (0, _) => "all layers are here".to_owned(),
        (_, false) => "not needed: every step on it is cached".to_owned(),
        (missing, true) => format!("{missing_size} in {missing} of {} layers", image.layers),
    }
}

/// A step whose inputs are made anew may still be found, if their files come out the same.
fn sum(explanation: &Explanation) -> String {
    let graph = &explanation.plan.graph;
    let steps = explanation.fates.iter();
    let steps = steps.filter(|(id, _)| !matches!(graph.vertex(*id).op, Op::Source(_)));
    let fates: Vec<Fate> = steps.map(|(_, fate)| *fate).collect();
    let cached = fates.iter().filter(|fate| **fate == Fate::Cached).count();
    let mut out = String::new();
    writeln!(
        out,
        "Steps: {}, of which {cached} are cached and {} run at most",
        fates.len(),
        fates.len() - cached
    )
    .ok();
    out
}
