// SPDX-License-Identifier: Apache-2.0
//! `kiln history`.

use oci::{Descriptor, History, Platform};
use serde_json::{Value, json};

use super::image_list::{self, id, time};
use super::images::formatted;
use crate::args::images::HistoryArgs;
use crate::environment;
use crate::report::{self, Failure};
use crate::session::Session;
use crate::text::{age, rfc3339, size};

/// What stands where a layer has no ID of its own. Docs: docker since 1.10.
const MISSING: &str = "<missing>";
/// Characters of a command that the table shows.
const COMMAND_CHARS: usize = 45;

/// Shows how an image came to be, latest step first.
pub(crate) fn run(args: &HistoryArgs, session: &Session) -> Result<(), Failure> {
    let layout = session.layout()?;
    let entry = layout.find(&args.image)?;
    let image = image_list::read(&layout, &entry, &Platform::host())?;
    let steps = steps(&image.config().history, &image.manifest().layers);
    let mut rows = Vec::with_capacity(steps.len());
    for (at, (step, bytes)) in steps.iter().rev().enumerate() {
        let image_id = match at {
            0 => id(image.id(), args.no_trunc),
            _ => MISSING.into(),
        };
        rows.push(row(&image_id, step, *bytes, args));
    }
    if args.quiet {
        let ids = rows.iter().filter_map(|row| row.get("ID")?.as_str());
        return report::print(&ids.flat_map(|id| [id, "\n"]).collect::<String>());
    }
    let columns = [
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    report::print(&formatted(&rows, &args.format, &columns)?)
}

/// Joins history and layers; layers without history come last, as steps of nobody.
fn steps(history: &[History], layers: &[Descriptor]) -> Vec<(History, u64)> {
    let mut layers = layers.iter().map(|layer| layer.size_bytes);
    let with_size = |step: &History| {
        let bytes = if step.empty_layer {
            0
        } else {
            layers.next().unwrap_or(0)
        };
        (step.clone(), bytes)
    };
    let mut steps: Vec<(History, u64)> = history.iter().map(with_size).collect();
    steps.extend(layers.map(|bytes| (History::default(), bytes)));
    steps
}

fn row(image_id: &str, step: &History, bytes: u64, args: &HistoryArgs) -> Value {
    let created = step.created.as_deref().and_then(time);
    let command = step
        .created_by
        .as_deref()
        .unwrap_or_default()
        .replace(['\n', '\t'], " ");
    let command = if args.no_trunc || command.chars().count() <= COMMAND_CHARS {
        command
    } else {
        command
            .chars()
            .take(COMMAND_CHARS - 1)
            .chain(['…'])
            .collect()
    };
    let since = match created {
        None => "N/A".into(),
        Some(then) if args.human => age(then, environment::now()),
        Some(then) => rfc3339(then),
    };
    json!({
        "ID": image_id,
        "CreatedSince": since,
        "CreatedAt": created.map_or("N/A".into(), rfc3339),
        "CreatedBy": command,
        "Size": if args.human { size(bytes) } else { bytes.to_string() },
        "Comment": step.comment.clone().unwrap_or_default(),
    })
}
