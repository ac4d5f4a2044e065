// SPDX-License-Identifier: Apache-2.0
//! The content key of what a vertex reads from an input.

use std::path::Path;

use cache::{
    CacheKey, ContentError, ContentIndex, ContentSelector, PathFilter, Source, SourceError,
    SourceOwners,
};
use graph::VertexId;

use super::filter::Choosing;
use super::{Ops, Output, context, similar};
use crate::solver::key::Selector;
use crate::step_error::StepError;

/// Returns the key of what `selectors` (empty: everything) choose from the result of `source`.
pub(crate) fn checksum(
    ops: &Ops,
    source: VertexId,
    output: Option<Output>,
    selectors: &[Selector],
) -> Result<CacheKey, StepError> {
    match output {
        Some(Output::Local(name)) => {
            let context = context::get(ops, &name)?;
            let view = context.view()?;
            let directory = context.directory.to_string_lossy().into_owned();
            let index = ContentIndex::remembered(&ops.store, &directory, context.source(&view));
            let index = index.map_err(|source| failed("/", source))?;
            combined(&index, selectors).map_err(|error| match error {
                StepError::SourceNotFound { path, .. } => context.not_found(path),
                other => other,
            })
        }
        Some(Output::Tree(Some(tree))) => {
            let view = ops.store.view(tree)?;
            let tree_source = Source {
                view: &view,
                filter: None,
                owners: SourceOwners::Kept,
            };
            let name = format!("snapshot {tree}");
            let index = ContentIndex::remembered(&ops.store, &name, tree_source);
            combined(&index.map_err(|source| failed("/", source))?, selectors)
                .map_err(|error| similar::of_tree(error, &view))
        }
        Some(Output::Tree(None)) => {
            let required = selectors
                .iter()
                .find(|selector| selector.required && selector.path != "/");
            match required {
                None => Ok(CacheKey::of("content 1", &[])),
                Some(selector) => Err(StepError::SourceNotFound {
                    path: selector.path.clone(),
                    ignored: None,
                    similar: None,
                }),
            }
        }
        None => Err(StepError::BadSource(
            ops.graph.vertex(source).meta.name.clone(),
        )),
    }
}

fn combined(index: &ContentIndex<'_>, selectors: &[Selector]) -> Result<CacheKey, StepError> {
    let everything = [whole()];
    let selectors = if selectors.is_empty() {
        &everything
    } else {
        selectors
    };
    let mut digests = Vec::with_capacity(selectors.len());
    for selector in selectors {
        digests.push(one(index, selector)?);
    }
    // Only a memory for the next time: a full disk must not fail the build here.
    drop(index.save());
    let parts: Vec<&[u8]> = digests
        .iter()
        .map(|digest| digest.as_bytes().as_slice())
        .collect();
    Ok(CacheKey::of("content 1", &parts))
}

fn whole() -> Selector {
    Selector {
        path: "/".into(),
        wildcard: false,
        follow: true,
        dir_contents: true,
        include: Vec::new(),
        exclude: Vec::new(),
        required: false,
        required_paths: Vec::new(),
    }
}

fn one(index: &ContentIndex<'_>, selector: &Selector) -> Result<cache::ContentDigest, StepError> {
    for required in &selector.required_paths {
        let path = ContentSelector {
            allow_wildcard: false,
            ..ContentSelector::new(Path::new(required))
        };
        index
            .checksum(&path)
            .map_err(|source| failed(required, source))?;
    }
    let filter = Choosing::new(&selector.include, &selector.exclude)?;
    let chosen = ContentSelector {
        path: Path::new(&selector.path),
        allow_wildcard: selector.wildcard,
        follow_symlink: selector.follow,
        contents_only: selector.dir_contents,
        filter: filter.as_ref().map(|filter| filter as &dyn PathFilter),
    };
    index
        .checksum(&chosen)
        .map_err(|source| failed(&selector.path, source))
}

fn failed(path: &str, error: ContentError) -> StepError {
    match error {
        ContentError::Source(SourceError::NotFound(path)) => StepError::SourceNotFound {
            path: path.to_string_lossy().into_owned(),
            ignored: None,
            similar: None,
        },
        source => StepError::Checksum {
            path: path.into(),
            source,
        },
    }
}
