// SPDX-License-Identifier: Apache-2.0
//! Every step of an explained build: what becomes of it, and all that its result depends on.

use std::fmt::Write as _;

use builder::{Emulation, Explanation, Fate, StepPlatform};
use graph::{
    ActionInput, FileActionKind, FileOp, Graph, Mount, MountKind, NetworkMode, Op, RunOp,
    SecurityMode, SourceOp, Vertex, VertexId,
};

/// The longest value of a variable that is shown whole.
const VALUE_MAX: usize = 32;
/// The longest title of a step.
const TITLE_MAX: usize = 72;
/// Width of the word before a detail.
const WORD_WIDTH: usize = 7;

/// Returns a block per step.
pub(super) fn text(explanation: &Explanation) -> String {
    let graph = &explanation.plan.graph;
    let rows: Vec<(VertexId, String, String)> = explanation
        .fates
        .iter()
        .map(|(id, fate)| {
            let vertex = graph.vertex(*id);
            let title = shorten(&title(vertex), TITLE_MAX);
            (*id, title, word(vertex, *fate, explanation.foreign.get(id)))
        })
        .collect();
    let width = rows.iter().map(|(_, title, _)| title.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut out = String::new();
    for (id, title, word) in rows {
        writeln!(out, "{title:width$}  {word}").ok();
        for (name, detail) in details(graph, graph.vertex(id)) {
            writeln!(out, "    {name:WORD_WIDTH$} {detail}").ok();
        }
    }
    out
}

/// Returns the title of a step; digests of images have their own table, and a download is not called
/// like the ADD that wants it.
fn title(vertex: &Vertex) -> String {
    let title = one_line(&vertex.meta.name);
    if let Op::Source(source) = &vertex.op
        && source.identifier.starts_with("http")
    {
        return one_line(&source.identifier);
    }
    match (&vertex.op, title.split_once("@sha256:")) {
        (Op::Source(_), Some((name, _))) => name.to_owned(),
        _ => title,
    }
}

/// Returns what becomes of a step.
fn word(vertex: &Vertex, fate: Fate, foreign: Option<&StepPlatform>) -> String {
    let is_source = matches!(vertex.op, Op::Source(_));
    let word = match fate {
        Fate::Cached if is_source => return "not read".to_owned(),
        Fate::Cached => return "cached".to_owned(),
        Fate::Fetched => return "read".to_owned(),
        Fate::Runs if vertex.meta.ignore_cache => "runs (--no-cache)",
        Fate::Runs => "runs",
    };
    let Some(foreign) = foreign else {
        return word.to_owned();
    };
    let platform = &foreign.platform;
    match &foreign.emulation {
        Emulation::Native => word.to_owned(),
        Emulation::Everywhere { interpreter } | Emulation::Mounted { interpreter } => {
            let name = interpreter.file_name().unwrap_or_default();
            format!("{word}, {platform} emulated by {}", name.display())
        }
        Emulation::Unknown => format!("{word}, {platform} if this machine emulates it"),
        _ => format!("cannot run: nothing here emulates {platform}"),
    }
}

type Details = Vec<(&'static str, String)>;

fn details(graph: &Graph, vertex: &Vertex) -> Details {
    match &vertex.op {
        Op::Source(source) => source_details(source),
        Op::Run(run) => run_details(graph, vertex, run),
        Op::File(file) => file_details(graph, vertex, file),
        Op::Merge | Op::Diff { .. } => {
            let labels = vertex.inputs.iter().map(|edge| label(graph, edge.vertex));
            vec![("after", labels.collect::<Vec<_>>().join(", "))]
        }
    }
}

fn source_details(source: &SourceOp) -> Details {
    let json = source.attrs.get("local.followpaths");
    let paths: Option<Vec<String>> = json.and_then(|json| serde_json::from_str(json).ok());
    paths
        .map(|paths| vec![("paths", paths.join(", "))])
        .unwrap_or_default()
}

fn file_details(graph: &Graph, vertex: &Vertex, file: &FileOp) -> Details {
    let mut details = Details::new();
    let first = file.actions.first().map(|action| action.input);
    if let Some(ActionInput::Input(at)) = first {
        details.push(("after", label(graph, vertex.inputs[at].vertex)));
    }
    for (at, edge) in vertex.inputs.iter().enumerate() {
        let read = file.actions.iter().filter_map(|action| match &action.kind {
            FileActionKind::Copy(copy) if action.secondary == ActionInput::Input(at) => {
                Some(copy.src.as_str())
            }
            _ => None,
        });
        let read: Vec<&str> = read.collect();
        if !read.is_empty() {
            let label = label(graph, edge.vertex);
            details.push(("reads", format!("{} of {label}", read.join(", "))));
        }
    }
    details
}

fn run_details(graph: &Graph, vertex: &Vertex, run: &RunOp) -> Details {
    let mut details = Details::new();
    for mount in &run.mounts {
        let tree = mount.input.map(|at| label(graph, vertex.inputs[at].vertex));
        match (mount.dest.as_str(), tree) {
            ("/", Some(tree)) => details.insert(0, ("after", tree)),
            ("/", None) => {}
            (_, tree) => details.push(("mounts", mount_text(mount, tree))),
        }
    }
    let secrets = run.secret_env.iter();
    details.extend(secrets.map(|secret| {
        let text = format!("secret {} as ${}", secret.id, secret.name);
        ("mounts", text)
    }));
    let devices = run.devices.iter();
    details.extend(devices.map(|(name, _)| ("device", name.clone())));
    if let Some(env) = environment(run) {
        details.push(("env", env));
    }
    let mut setting = Vec::new();
    if !run.user.is_empty() {
        setting.push(format!("user {}", run.user));
    }
    if run.cwd != "/" {
        setting.push(format!("directory {}", run.cwd));
    }
    match run.network {
        NetworkMode::Sandbox => {}
        NetworkMode::None => setting.push("no network".to_owned()),
        NetworkMode::Host => setting.push("the host's network".to_owned()),
    }
    if run.security == SecurityMode::Insecure {
        setting.push("no sandbox".to_owned());
    }
    if !setting.is_empty() {
        details.push(("as", setting.join(", ")));
    }
    details
}

fn mount_text(mount: &Mount, tree: Option<String>) -> String {
    let dest = &mount.dest;
    let tree = tree.unwrap_or_else(|| "nothing".to_owned());
    match &mount.kind {
        MountKind::Bind => {
            let path = if mount.selector.is_empty() {
                "/"
            } else {
                &mount.selector
            };
            format!("{path} of {tree} at {dest}")
        }
        MountKind::Cache { id, .. } => {
            let id = id.strip_prefix('/').unwrap_or(id);
            format!("cache {id} at {dest} (its content does not count)")
        }
        MountKind::Tmpfs { .. } => format!("memory at {dest}"),
        MountKind::Secret { id, .. } => format!("secret {id} at {dest} (its value does not count)"),
        MountKind::Ssh { id, .. } => format!("SSH agent {id} at {dest}"),
    }
}

/// Returns the variables that are part of a step's key. `PATH` is in every step.
fn environment(run: &RunOp) -> Option<String> {
    let shown = run.env.iter().filter(|pair| !pair.starts_with("PATH="));
    let shown: Vec<String> = shown
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", shorten(&one_line(value), VALUE_MAX)),
            None => pair.clone(),
        })
        .collect();
    (!shown.is_empty()).then(|| shown.join(" "))
}

/// Returns how other steps call a vertex: what stands in brackets before its title.
fn label(graph: &Graph, id: VertexId) -> String {
    let vertex = graph.vertex(id);
    if let Op::Source(source) = &vertex.op
        && let Some(name) = source.identifier.strip_prefix("local://")
    {
        return match name {
            "context" => "the context".to_owned(),
            name => format!("context {name}"),
        };
    }
    let name = title(vertex);
    match name.find("] ") {
        Some(end) if name.starts_with('[') && !name.starts_with("[internal]") => {
            name[..=end].to_owned()
        }
        _ if name.is_empty() => format!("#{}", id.index()),
        _ => shorten(&name, TITLE_MAX),
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_broken_texts_stay_on_their_line() {
        assert_eq!(one_line("RUN a \\\n\t b\u{1b}"), "RUN a \\ b");
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("äbcd", 3), "äb…");
    }
}
