// SPDX-License-Identifier: Apache-2.0
//! The outline and the targets.

use std::fmt::Write as _;

use frontend_dockerfile::lint::Lines;
use frontend_dockerfile::outline::{Outline, Target, outline, targets};

use crate::case::{Shelf, cases};

fn place(lines: Lines) -> String {
    if lines.first == lines.last {
        lines.first.to_string()
    } else {
        format!("{}-{}", lines.first, lines.last)
    }
}

fn behind(description: &str) -> String {
    if description.is_empty() {
        String::new()
    } else {
        format!(" # {description}")
    }
}

fn shown(outline: &Outline, targets: &[Target]) -> Vec<String> {
    let mut out = vec![format!(
        "outline {}{}",
        outline.name,
        behind(&outline.description)
    )];
    out.extend(outline.args.iter().map(|arg| {
        let description = behind(&arg.description);
        format!(
            "arg {} {}={}{description}",
            place(arg.lines),
            arg.name,
            arg.value
        )
    }));
    for (kind, mounts) in [("secrets", &outline.secrets), ("ssh", &outline.ssh)] {
        out.extend(mounts.iter().map(|mount| {
            let required = if mount.required { " required" } else { "" };
            format!("{kind} {} {}{required}", place(mount.lines), mount.name)
        }));
    }
    out.extend(targets.iter().map(|target| {
        let default = if target.is_default { " default" } else { "" };
        format!(
            "target {} {}{default} base={} platform={}{}",
            place(target.lines),
            target.name,
            target.base,
            target.platform,
            behind(&target.description)
        )
    }));
    out
}

#[tokio::test]
async fn outlines_and_targets_are_those_of_buildkit() {
    let mut wrong = String::new();
    let cases = cases("outline");
    assert!(cases.len() > 15, "only {} cases", cases.len());
    for case in cases {
        let lines = match outline(&case.input, &Shelf).await {
            Ok(outline) => shown(&outline, &targets(&case.input.source).unwrap()),
            Err(_) => vec!["refused".to_owned()],
        };
        if lines != case.expected {
            let text = case.input.source.text();
            writeln!(wrong, "\n==== {}\n{text}>>>>", case.name).ok();
            writeln!(
                wrong,
                "ours:     {lines:#?}\nBuildKit: {:#?}",
                case.expected
            )
            .ok();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
