// SPDX-License-Identifier: Apache-2.0
//! The keys under which a vertex's result may be found: what counts and what does not.
//!
//! | Counts | Does not count |
//! |---|---|
//! | the operation: arguments, whole environment, user, directory, mounts, platform | names shown to people, proxy variables, addresses of extra hosts, whom to ask for an image |
//! | content of files that are only read (COPY sources, read-only bind mounts) | where in the source they lie, their times |
//! | the key of a root or writable input | contents and ids of cache mounts, values of secrets |
//! | base name of a COPY source | the directory before it |
//!
//! Docs: BuildKit's `solver/llbsolver/ops` behave so; users rely on it. Key bytes are ours
//! (BLAKE3), so caches are not exchanged with BuildKit.

use cache::CacheKey;
use graph::{
    ActionInput, CopyAction, Edge, FileActionKind, FileOp, Graph, MountKind, Op, RunOp, SourceOp,
    Vertex, VertexDigest, VertexId, llb,
};

/// Changes with every change to what a key means; part of every key. See `docs/cache-format.md`.
const KEY_VERSION: &str = "kiln key 1";

/// How a vertex uses one input.
#[derive(Clone, Debug)]
pub(crate) struct InputKey {
    /// The input.
    pub(crate) edge: Edge,
    /// Whether only the content of `selectors` counts.
    pub(crate) by_content: bool,
    /// What is read from it; empty unless `by_content`, or for a whole local directory.
    pub(crate) selectors: Vec<Selector>,
}

/// Files that a vertex reads from an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the same words as in a copy action"
)]
pub(crate) struct Selector {
    /// Path or pattern, absolute within the input.
    pub(crate) path: String,
    /// Whether `path` is a pattern.
    pub(crate) wildcard: bool,
    /// Whether a symbolic link at `path` is followed.
    pub(crate) follow: bool,
    /// Whether a directory at `path` means its content, so that its own attributes don't count.
    pub(crate) dir_contents: bool,
    /// If not empty, only matching paths count.
    pub(crate) include: Vec<String>,
    /// Matching paths don't count.
    pub(crate) exclude: Vec<String>,
    /// Whether a missing path is an error rather than content.
    pub(crate) required: bool,
    /// Paths that must exist.
    pub(crate) required_paths: Vec<String>,
}

/// What the machine needs to know about one vertex.
#[derive(Clone, Debug)]
pub(crate) struct VertexKeys {
    /// Which vertex.
    pub(crate) id: VertexId,
    /// Its inputs, by position.
    pub(crate) inputs: Vec<InputKey>,
    /// Whether it brings content in.
    pub(crate) is_source: bool,
    /// Whether it is a directory of the caller.
    pub(crate) is_local: bool,
    /// Whether no record is looked up.
    pub(crate) ignore_cache: bool,
    op: blake3::Hash,
}

impl VertexKeys {
    #[cfg(test)]
    pub(crate) fn for_test(id: VertexId, name: u64, inputs: Vec<InputKey>) -> Self {
        Self {
            id,
            inputs,
            is_source: false,
            is_local: false,
            ignore_cache: false,
            op: blake3::hash(&name.to_le_bytes()),
        }
    }

    /// Returns the key of the operation alone, in hexadecimal.
    pub(crate) fn operation(&self) -> String {
        self.op.to_hex().to_string()
    }

    /// Returns the key of the vertex over one key per input.
    pub(crate) fn combine(&self, inputs: &[CacheKey]) -> CacheKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.op.as_bytes());
        for key in inputs {
            hasher.update(key.as_bytes());
        }
        CacheKey::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// Returns the key of one output of a vertex.
pub(crate) fn of_output(key: CacheKey, output: u32) -> CacheKey {
    match output {
        0 => key,
        _ => CacheKey::of("output", &[key.as_bytes(), &output.to_le_bytes()]),
    }
}

/// Returns the keys of every vertex, in graph order.
pub(crate) fn keys(graph: &Graph) -> Vec<VertexKeys> {
    graph
        .iter()
        .map(|(id, vertex)| vertex_keys(id, vertex))
        .collect()
}

fn vertex_keys(id: VertexId, vertex: &Vertex) -> VertexKeys {
    let selectors = match &vertex.op {
        Op::File(file) => file_selectors(file, vertex.inputs.len()),
        Op::Run(run) => run_selectors(run, vertex.inputs.len()),
        Op::Source(_) | Op::Merge | Op::Diff { .. } => vec![None; vertex.inputs.len()],
    };
    let inputs = vertex
        .inputs
        .iter()
        .zip(selectors)
        .map(|(edge, selectors)| InputKey {
            edge: *edge,
            by_content: selectors.is_some(),
            selectors: selectors.unwrap_or_default(),
        })
        .collect();
    let local =
        matches!(&vertex.op, Op::Source(source) if source.identifier.starts_with("local://"));
    VertexKeys {
        id,
        inputs,
        is_source: matches!(vertex.op, Op::Source(_)),
        is_local: local,
        ignore_cache: vertex.meta.ignore_cache,
        op: op_hash(vertex),
    }
}

/// Hashes the operation without what does not count. Inputs are counted, not named: a placeholder
/// digest stands for each.
fn op_hash(vertex: &Vertex) -> blake3::Hash {
    let op = match &vertex.op {
        Op::Run(run) => Op::Run(Box::new(stripped_run(run))),
        Op::File(file) => Op::File(stripped_file(file)),
        Op::Source(source) => Op::Source(stripped_source(source)),
        other => other.clone(),
    };
    let placeholder = VertexDigest(oci::sha256(b""));
    let inputs: Vec<(&VertexDigest, u32)> =
        vertex.inputs.iter().map(|_| (&placeholder, 0)).collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(KEY_VERSION.as_bytes());
    hasher.update(&llb::op_bytes(&op, &inputs, vertex.platform.as_ref()));
    hasher.finalize()
}

/// Whom to ask for an image says nothing about what it is: its digest does.
fn stripped_source(source: &SourceOp) -> SourceOp {
    let mut source = source.clone();
    source.attrs.remove("image.resolvemode");
    source
}

fn stripped_run(run: &RunOp) -> RunOp {
    let mut run = run.clone();
    run.proxy_env = None;
    for extra in &mut run.extra_hosts {
        extra.ip.clear();
    }
    for mount in &mut run.mounts {
        mount.selector.clear();
        if let MountKind::Cache { id, sharing } = &mut mount.kind {
            id.clear();
            *sharing = graph::CacheSharing::Shared;
        }
    }
    run
}

fn stripped_file(file: &FileOp) -> FileOp {
    let mut file = file.clone();
    for action in &mut file.actions {
        if let FileActionKind::Copy(copy) = &mut action.kind {
            let name = base_name(&copy.src).to_owned();
            copy.src = name;
        }
    }
    file
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

/// Selectors per input: none for an input that counts by its key.
fn file_selectors(file: &FileOp, input_count: usize) -> Vec<Option<Vec<Selector>>> {
    let mut inputs: Vec<Option<Vec<Selector>>> = vec![Some(Vec::new()); input_count];
    for action in &file.actions {
        if let ActionInput::Input(at) = action.input {
            inputs[at] = None;
        }
    }
    for action in &file.actions {
        let (FileActionKind::Copy(copy), ActionInput::Input(at)) = (&action.kind, action.secondary)
        else {
            continue;
        };
        if let Some(selectors) = &mut inputs[at] {
            selectors.push(copy_selector(copy));
        }
    }
    inputs
        .into_iter()
        .map(|selectors| selectors.filter(|list| !list.is_empty()))
        .collect()
}

fn copy_selector(copy: &CopyAction) -> Selector {
    Selector {
        path: copy.src.clone(),
        wildcard: copy.allow_wildcard,
        follow: copy.follow_symlink,
        dir_contents: copy.dir_copy_contents,
        include: copy.include_patterns.clone(),
        exclude: copy.exclude_patterns.clone(),
        required: !copy.allow_empty_wildcard || !copy.allow_wildcard || !has_wildcard(&copy.src),
        required_paths: copy.required_paths.clone(),
    }
}

/// Tells whether a path has a character that Go's `filepath.Match` treats as a pattern.
pub(crate) fn has_wildcard(path: &str) -> bool {
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn run_selectors(run: &RunOp, input_count: usize) -> Vec<Option<Vec<Selector>>> {
    let mut inputs: Vec<Option<Vec<Selector>>> = vec![Some(Vec::new()); input_count];
    for mount in &run.mounts {
        let Some(at) = mount.input else { continue };
        let read_only = mount.readonly || mount.output.is_none();
        if matches!(mount.kind, MountKind::Bind) && mount.dest != "/" && read_only {
            if let Some(selectors) = &mut inputs[at] {
                selectors.push(Selector {
                    path: format!("/{}", mount.selector.trim_start_matches('/')),
                    wildcard: false,
                    follow: true,
                    dir_contents: false,
                    include: Vec::new(),
                    exclude: Vec::new(),
                    required: true,
                    required_paths: Vec::new(),
                });
            }
        } else {
            inputs[at] = None;
        }
    }
    inputs
        .into_iter()
        .map(|selectors| selectors.filter(|list| !list.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests;
