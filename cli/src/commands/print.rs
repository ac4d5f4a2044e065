// SPDX-License-Identifier: Apache-2.0
//! `kiln build --print JOINT`: the values between the parts of kiln, as text.
//!
//! Two machines that build different images are compared joint by joint: the first text that
//! differs says which part to look at.

use std::fmt::Write as _;
use std::sync::Arc;

use builder::progress::Silent;
use builder::{BuildRequest, Builder};
use frontend_dockerfile::{BuildInput, DockerfileFrontend, parse};
use graph::{Plan, PlanTarget};
use oci::layer::LayerReader;
use oci::layout::Layout;
use oci::{Descriptor, Image, Platform};

use super::build_result::{frontend_failure, problems};
use super::image_list;
use crate::args::build::Joint;
use crate::report::{self, Exit, Failure};
use crate::session;

/// Shows a joint that comes before anything runs.
pub(super) fn before(
    joint: Joint,
    builder: &Builder,
    request: &BuildRequest<BuildInput>,
) -> Result<(), Failure> {
    let input = &request.input;
    match joint {
        Joint::Ast => {
            let parsed = parse::parse(&input.source);
            let parsed = parsed.map_err(|found| problems(&input.source, &found))?;
            report::print(&parsed.to_text(&input.source).to_string())
        }
        Joint::Graph | Joint::Llb | Joint::Keys => session::block_on_droppable(async {
            let plan = builder
                .plan(&DockerfileFrontend, request, Arc::new(Silent))
                .await;
            let plan = plan.map_err(|error| frontend_failure(&error))?;
            report::print(&match joint {
                Joint::Keys => builder::keys_text(&plan),
                Joint::Llb => llb_text(&plan),
                _ => plan.to_string(),
            })
        }),
        // These come after the build; see `after`.
        Joint::Layers | Joint::Image => Ok(()),
    }
}

/// Shows a joint of the finished image.
pub(super) fn after(joint: Joint, layout: &Layout, image: &Descriptor) -> Result<(), Failure> {
    let entry = oci::layout::ImageEntry {
        name: None,
        descriptor: image.clone(),
    };
    let image = image_list::read(layout, &entry, &Platform::host())?;
    match joint {
        Joint::Layers => report::print(&layers(layout, &image)?),
        Joint::Ast | Joint::Graph | Joint::Llb | Joint::Keys | Joint::Image => {
            let config: serde_json::Value = serde_json::from_slice(image.config_bytes())
                .map_err(|error| Failure::from_error(Exit::Store, &error))?;
            let manifest = serde_json::to_string_pretty(image.manifest());
            let config = serde_json::to_string_pretty(&config);
            let texts = [manifest, config].map(Result::unwrap_or_default);
            report::print(&format!("{}\n{}\n", texts[0], texts[1]))
        }
    }
}

/// Returns the LLB as BuildKit's `frontend.convertllb` shows it; with a list of platforms, of each
/// by its name.
fn llb_text(plan: &Plan) -> String {
    let definition =
        |target: &PlanTarget| graph::llb::definition_json(&plan.graph, target.result, "Dockerfile");
    let value = match plan.targets.as_slice() {
        [only] if !plan.multi_platform => definition(only),
        several => several
            .iter()
            .map(|target| (target.platform.to_string(), definition(target)))
            .collect(),
    };
    format!("{value:#}\n")
}

/// Returns what each layer has, one line per entry: type, mode, owner, size, time, path.
fn layers(layout: &Layout, image: &Image) -> Result<String, Failure> {
    let mut out = String::new();
    for (layer, diff_id) in image.layers() {
        writeln!(out, "layer {diff_id} {} {}", layer.digest, layer.media_type).ok();
        let unreadable = |error: &dyn std::error::Error| {
            Failure::new(Exit::Store, format!("cannot read layer {}", layer.digest))
                .because(Some(error))
        };
        let blob = LayerReader::new(layout.open_verified(layer)?);
        let mut tar = tar::Archive::new(blob.map_err(|error| unreadable(&error))?);
        for entry in tar.entries().map_err(|error| unreadable(&error))? {
            let line = entry.and_then(|entry| line(&entry));
            out.push_str(&line.map_err(|error| unreadable(&error))?);
        }
    }
    Ok(out)
}

fn line(entry: &tar::Entry<'_, impl std::io::Read>) -> std::io::Result<String> {
    let header = entry.header();
    let kind = match header.entry_type() {
        tar::EntryType::Directory => 'd',
        tar::EntryType::Symlink => 'l',
        tar::EntryType::Link => 'h',
        tar::EntryType::Char => 'c',
        tar::EntryType::Block => 'b',
        tar::EntryType::Fifo => 'p',
        _ => '-',
    };
    let path = entry.path_bytes();
    let path = String::from_utf8_lossy(&path).escape_debug().to_string();
    let target = match entry.link_name_bytes() {
        Some(target) => format!(" -> {}", String::from_utf8_lossy(&target).escape_debug()),
        None => String::new(),
    };
    let (mode, uid, gid) = (header.mode()?, header.uid()?, header.gid()?);
    let (size, mtime) = (entry.size(), header.mtime()?);
    Ok(format!(
        "  {kind} {mode:04o} {uid}:{gid} {size} {mtime} {path}{target}\n"
    ))
}
