// SPDX-License-Identifier: Apache-2.0
//! `kiln inspect`: an image as the JSON that docker's API gives.
//!
//! Docs: Docker Engine API, `ImageInspect`.

use oci::{Digest, Image, Platform};
use serde_json::{Map, Value, json};

use super::image_list::{self, ListedImage};
use crate::args::images::InspectArgs;
use crate::report::{self, Exit, Failure};
use crate::session::Session;
use crate::text::Template;

/// Keys of `Config` that templates name whether an image has them or not.
const CONFIG_KEYS: [&str; 12] = [
    "User",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Entrypoint",
    "Volumes",
    "WorkingDir",
    "OnBuild",
    "Labels",
    "StopSignal",
    "Shell",
    "Healthcheck",
];

/// Shows the images that exist, then fails if one did not.
pub(crate) fn run(args: &InspectArgs, session: &Session) -> Result<(), Failure> {
    let bad = |error| Failure::usage(format!("--format: {error}"));
    let template = match args.format.as_deref() {
        None | Some("json") => None,
        Some(text) => Some(Template::parse(text).map_err(bad)?),
    };
    let layout = session.layout()?;
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let listed = image_list::all(&layout)?;
    let mut found = Vec::new();
    let mut missing: Option<Failure> = None;
    for name in &args.images {
        let looked_up = layout.find(name).map_err(Failure::from);
        let read = looked_up.and_then(|entry| {
            let image = match &args.platform {
                Some(platform) => Image::read(&layout, &entry.descriptor, platform)
                    .map_err(|error| Failure::from_error(Exit::Failed, &error))?,
                None => image_list::read(&layout, &entry, &platform)?,
            };
            Ok(document(&image, &entry.descriptor.digest, &listed))
        });
        match read {
            Ok(document) => found.push(document),
            Err(failure) => drop(missing.get_or_insert(failure)),
        }
    }
    let text = match template {
        None => serde_json::to_string_pretty(&found).unwrap_or_default() + "\n",
        Some(template) => {
            let lines = found
                .iter()
                .map(|document| template.render(document).map(|line| line + "\n"));
            lines.collect::<Result<String, _>>().map_err(bad)?
        }
    };
    report::print(&text)?;
    missing.map_or(Ok(()), Err)
}

fn document(image: &Image, digest: &Digest, listed: &[ListedImage]) -> Value {
    let same = |one: &&ListedImage| one.entry.descriptor.digest == *digest;
    let same: Vec<&ListedImage> = listed.iter().filter(same).collect();
    let references = same.iter().filter_map(|one| one.reference());
    let mut tags: Vec<String> = references
        .filter(|name| name.tag().is_some())
        .map(|name| name.familiar())
        .collect();
    let mut digests: Vec<String> = same.iter().filter_map(|one| one.repo_digest()).collect();
    for list in [&mut tags, &mut digests] {
        list.sort();
        list.dedup();
    }
    let config = image.config();
    let mut document = json!({
        "Id": image.id().to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default(),
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author.clone().unwrap_or_default(),
        "Config": config_document(image),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size_bytes(),
        "RootFS": {
            "Type": "layers",
            "Layers": config.rootfs.diff_ids,
        },
        "Descriptor": image.descriptor(),
    });
    if let (Some(variant), Some(fields)) = (&config.variant, document.as_object_mut()) {
        fields.insert("Variant".into(), json!(variant));
    }
    document
}

fn config_document(image: &Image) -> Value {
    let known = serde_json::to_value(&image.config().config).unwrap_or_default();
    let Value::Object(mut known) = known else {
        return known;
    };
    let mut fields = Map::new();
    for key in CONFIG_KEYS {
        let empty = match key {
            "User" | "WorkingDir" => json!(""),
            _ => Value::Null,
        };
        fields.insert(key.into(), known.remove(key).unwrap_or(empty));
    }
    fields.append(&mut known);
    Value::Object(fields)
}
