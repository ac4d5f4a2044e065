// SPDX-License-Identifier: Apache-2.0
//! Names that are no stage: named contexts and images, and what is known of them.
//!
//! A name is looked up among the named contexts for the platform (`name::linux/arm64`), then for
//! all, as written and then in the short form of an image reference; what is left is an image.

use std::collections::BTreeMap;

use graph::{Edge, Graph, Op, ResolvedImage, SourceOp, VertexMeta};
use oci::{Platform, Reference};

use crate::diagnostic::Diagnostic;
use crate::git_url::GitUrl;
use crate::options::{BuildOptions, NamedContext};
use crate::span::Word;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum External {
    Image(Reference),
    /// A directory of the caller.
    Local(String),
    Git(Box<GitUrl>),
    /// The path of an image layout, with tag and digest.
    OciLayout(String),
}

/// The images asked for so far, by reference and platform.
pub(crate) type Images = BTreeMap<(Reference, Platform), ResolvedImage>;

/// Finds out what a name stands for.
///
/// # Errors
///
/// The name is neither a named context nor an image reference.
pub(crate) fn classify(
    name: &Word,
    options: &BuildOptions,
    platform: &Platform,
) -> Result<External, Diagnostic> {
    let reference: Result<Reference, _> = name.text.parse();
    let familiar = reference.as_ref().map(|reference| {
        let familiar = reference.familiar();
        familiar
            .strip_suffix(":latest")
            .map(str::to_owned)
            .unwrap_or(familiar)
    });
    let keys = [Some(name.text.as_str()), familiar.as_deref().ok()];
    let context = keys.into_iter().flatten().find_map(|key| {
        let special = options.contexts.get(&format!("{key}::{platform}"));
        special
            .or_else(|| options.contexts.get(key))
            .map(|context| (key, context))
    });
    let invalid = |error: oci::ParseReferenceError| Diagnostic::error(name.span, error.to_string());
    let Some((key, context)) = context else {
        return reference.map(External::Image).map_err(invalid);
    };
    match context {
        NamedContext::Image(text) => text.parse().map(External::Image).map_err(invalid),
        NamedContext::Local => Ok(External::Local(key.to_owned())),
        NamedContext::OciLayout(path) => Ok(External::OciLayout(path.clone())),
        NamedContext::Git(address) => match GitUrl::parse_context(address) {
            Some(Ok(url)) => Ok(External::Git(Box::new(url))),
            Some(Err(error)) => Err(Diagnostic::error(name.span, error.to_string())),
            None => Err(Diagnostic::error(
                name.span,
                format!("`{address}` is not a git address"),
            )),
        },
        NamedContext::Http(address) => {
            let message = format!(
                "the named context `{key}` is `{address}`, and http contexts are not supported"
            );
            Err(Diagnostic::error(name.span, message)
                .help("download it and give the directory, or use ADD with the address"))
        }
        NamedContext::Target(stage) => {
            let message = format!(
                "the named context `{key}` stands for stage `{stage}`, which is not in this file"
            );
            Err(Diagnostic::error(name.span, message))
        }
    }
}

/// Adds the source vertex of something that needs no config.
pub(super) fn add_source(graph: &mut Graph, external: &External, title: &str) -> Option<Edge> {
    let (identifier, attrs) = match external {
        External::Image(_) => return None,
        External::Local(name) => (
            format!("local://{name}"),
            BTreeMap::from([("local.sharedkeyhint".to_owned(), format!("context:{name}"))]),
        ),
        External::Git(url) => {
            let source = url.source();
            (source.identifier, source.attrs)
        }
        External::OciLayout(path) => (format!("oci-layout://{path}"), BTreeMap::new()),
    };
    let meta = VertexMeta {
        name: format!("[context {title}] load from {identifier}"),
        ..VertexMeta::default()
    };
    let op = Op::Source(SourceOp { identifier, attrs });
    Some(Edge::first(graph.add(op, Vec::new(), None, meta)))
}
