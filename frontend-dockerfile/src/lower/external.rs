// SPDX-License-Identifier: Apache-2.0
//! Names that are no stage: named contexts and images, and their source vertices.
//!
//! A name is looked up among the named contexts; what is left is an image.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerui/namedcontext.go`.

use std::collections::{BTreeMap, BTreeSet};

use graph::pattern::Patterns;
use graph::{Edge, Graph, Op, ResolvedImage, SourceOp, VertexMeta};
use oci::{Digest, Platform, Reference};

use crate::context::{self, NamedContext};
use crate::diagnostic::Diagnostic;
use crate::git_url::GitUrl;
use crate::options::BuildOptions;
use crate::span::{SourceText, Word};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum External {
    Image(ExternalImage),
    /// The empty tree, by way of a named context.
    Scratch,
    Tree(ExternalTree),
}

/// An image, named by the Dockerfile or by a named context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalImage {
    pub(crate) reference: Reference,
    /// The layout that has it, if no registry is to be asked.
    pub(crate) layout: Option<String>,
    /// The title of its step, if a named context stands for it.
    pub(crate) title: Option<String>,
}

/// Files without a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalTree {
    kind: TreeKind,
    title: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TreeKind {
    /// A directory of the caller.
    Local {
        /// The named context.
        context: String,
        /// What the builder calls the directory.
        name: String,
        excludes: Vec<String>,
    },
    Git(Box<GitUrl>),
    Http(String),
}

/// The images asked for so far, by reference and platform.
pub(crate) type Images = BTreeMap<(Reference, Platform), ResolvedImage>;

/// Finds out what a name stands for.
///
/// # Errors
///
/// The name is neither a named context nor an image reference, or its context cannot be used.
pub(crate) fn classify(
    name: &Word,
    options: &BuildOptions,
    platform: &Platform,
) -> Result<External, Diagnostic> {
    let Some((key, context)) = context::find(&name.text, platform, &options.contexts) else {
        let reference = name.text.parse();
        let reference = reference.map_err(|error: oci::ParseReferenceError| {
            Diagnostic::error(name.span, error.to_string())
        })?;
        return Ok(External::Image(ExternalImage {
            reference,
            layout: None,
            title: None,
        }));
    };
    let refused = |message: String| {
        let message = format!("the named context `{key}` cannot be used: {message}");
        Diagnostic::error(name.span, message)
    };
    of_context(key, context).map_err(refused)
}

fn of_context(key: &str, context: &NamedContext) -> Result<External, String> {
    let tree = |kind, title| Ok(External::Tree(ExternalTree { kind, title }));
    match context {
        NamedContext::Image(text) if text == "scratch" => Ok(External::Scratch),
        NamedContext::Image(text) => {
            let reference: Result<Reference, _> = text.parse();
            Ok(External::Image(ExternalImage {
                reference: reference.map_err(|error| error.to_string())?,
                layout: None,
                title: Some(format!("[context {key}] {text}")),
            }))
        }
        NamedContext::OciLayout { store, digest } => {
            let name = key.split_once("::").map_or(key, |(name, _)| name);
            let named: Result<Reference, _> = name.parse();
            let named = named.map_err(|error| error.to_string())?;
            let reference = if named.familiar() == format!("{name}:latest") {
                Reference::with_digest(named.repository().clone(), digest.clone())
            } else {
                named.pinned(digest.clone())
            };
            Ok(External::Image(ExternalImage {
                reference,
                layout: Some(store.clone()),
                title: Some(format!("[context {key}] OCI load from client")),
            }))
        }
        NamedContext::Local { name, ignore } => tree(
            TreeKind::Local {
                context: key.to_owned(),
                name: name.clone(),
                excludes: ignore.as_ref().map_or(Ok(Vec::new()), excludes)?,
            },
            format!("[context {key}] load from client"),
        ),
        NamedContext::Git(address) => match context::git(address) {
            Some(Ok(url)) => tree(
                TreeKind::Git(Box::new(url)),
                format!("[internal] load git source {address}"),
            ),
            Some(Err(message)) => Err(message),
            None => Err(format!("`{address}` is not a git address")),
        },
        NamedContext::Http(address) => tree(
            TreeKind::Http(address.clone()),
            format!("[context {key}] {address}"),
        ),
        NamedContext::Target(stage) => Err(format!(
            "it stands for stage `{stage}`, which is not in this file"
        )),
    }
}

fn excludes(ignore: &SourceText) -> Result<Vec<String>, String> {
    match Patterns::parse(ignore.text()) {
        Ok(patterns) => Ok(patterns.to_list()),
        Err(error) => Err(format!("{}: {error}", ignore.name())),
    }
}

impl ExternalImage {
    /// Returns the source of the image. One that a Dockerfile names is pinned to what it was when
    /// it was asked for.
    pub(crate) fn source(&self, digest: &Digest) -> SourceOp {
        let Some(store) = &self.layout else {
            let reference = match &self.title {
                Some(_) => self.reference.clone(),
                None => self.reference.pinned(digest.clone()),
            };
            return SourceOp {
                identifier: format!("docker-image://{reference}"),
                attrs: BTreeMap::new(),
            };
        };
        SourceOp {
            identifier: format!("oci-layout://{}", self.reference),
            attrs: BTreeMap::from([("oci.store".to_owned(), store.clone())]),
        }
    }
}

impl ExternalTree {
    /// Tells whether only some paths of it may be asked for.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.kind, TreeKind::Local { .. })
    }

    /// Returns the source. Of a directory only `paths` are wanted; none are all.
    pub(crate) fn source(&self, paths: &BTreeSet<String>) -> SourceOp {
        match &self.kind {
            TreeKind::Git(url) => url.source(),
            TreeKind::Http(address) => context::download(address),
            TreeKind::Local {
                context,
                name,
                excludes,
            } => local(name, format!("context:{context}-"), excludes, paths),
        }
    }

    /// Adds the source vertex.
    pub(super) fn add(&self, graph: &mut Graph, paths: &BTreeSet<String>) -> Edge {
        let meta = VertexMeta {
            name: self.title.clone(),
            ..VertexMeta::default()
        };
        let op = Op::Source(self.source(paths));
        Edge::first(graph.add(op, Vec::new(), None, meta))
    }
}

/// Returns the source of a directory of the caller: `paths` of it (none are all; absolute), without
/// what `excludes` leaves out.
pub(super) fn local(
    name: &str,
    shared_key: String,
    excludes: &[String],
    paths: &BTreeSet<String>,
) -> SourceOp {
    let json = |list: &[String]| serde_json::to_string(list).expect("text is JSON");
    let mut attrs = BTreeMap::from([("local.sharedkeyhint".to_owned(), shared_key)]);
    if !excludes.is_empty() {
        attrs.insert("local.excludepatterns".to_owned(), json(excludes));
    }
    if !paths.is_empty() && !paths.contains("/") {
        let relative: Vec<String> = paths.iter().map(|path| path[1..].to_owned()).collect();
        attrs.insert("local.followpaths".to_owned(), json(&relative));
    }
    SourceOp {
        identifier: format!("local://{name}"),
        attrs,
    }
}
