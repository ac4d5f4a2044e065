// SPDX-License-Identifier: Apache-2.0
//! A context, or a Dockerfile, that has to be fetched: its text is read out of the build cache,
//! where the build finds the rest of it.
//!
//! An ignore file in such a context does not count. `Observed:` BuildKit 73ed6825
//! `frontend/dockerui/context.go`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder::progress::Sink;
use builder::{Builder, FetchedSource, SourceAccess, SourceRequest, StepError};
use frontend_dockerfile::{BuildOptions, MainContext, SourceText};
use graph::{Graph, SourceOp};

use super::{BuildSource, DOCKERFILE, DOCKERFILE_LOWER, SNIFFED_BYTES, is_archive, shown, source};
use crate::commands::source_failure;
use crate::report::{Exit, Failure};
use crate::session;

/// The file that a download of a context is.
const DOWNLOAD: &str = "context";

/// The way to what is not on this machine.
pub(crate) struct Fetcher<'a> {
    /// Where it is kept.
    pub(crate) builder: &'a Builder,
    /// What was asked for so far: the build arguments.
    pub(crate) options: BuildOptions,
    /// What servers may be shown, and what they have answered.
    pub(crate) access: SourceAccess,
    /// Starts showing progress, if nothing did.
    pub(crate) sink: &'a dyn Fn() -> Arc<dyn Sink>,
}

impl Fetcher<'_> {
    fn source(&self, source: SourceOp, name: String) -> Result<FetchedSource, Failure> {
        let request = SourceRequest {
            source,
            name,
            secrets: self.access.secrets.clone(),
            pins: self.access.pins.clone(),
        };
        let (builder, sink) = (self.builder, (self.sink)());
        session::block_on(|cancel| async move {
            let fetched = builder.fetch_source(request, sink, cancel).await;
            fetched.map_err(|error| source_failure(&error))
        })
    }

    /// Makes the files of a context, as the build will have them.
    fn files(&self, context: &MainContext) -> Result<FetchedSource, Failure> {
        let mut graph = Graph::new();
        let added = context.add(&mut graph, &self.options);
        let added = added.map_err(|message| bad_address(&message))?;
        let tree = added.ok_or_else(|| bad_address("there is nothing to fetch"))?;
        let (builder, sink) = (self.builder, (self.sink)());
        session::block_on(|cancel| async move {
            let made = builder.fetch_tree(graph, tree, &self.access, sink, cancel);
            made.await.map_err(|error| source_failure(&error))
        })
    }

    /// Fetches a Dockerfile by itself (`-f https://…`).
    pub(super) fn dockerfile(&self, address: &str) -> Result<SourceText, Failure> {
        let attr = ("http.filename".to_owned(), DOCKERFILE.to_owned());
        let op = SourceOp {
            identifier: address.to_owned(),
            attrs: [attr].into(),
        };
        let title = "[internal] load build definition from remote Dockerfile";
        let fetched = self.source(op, title.to_owned())?;
        let text = read(&fetched, Path::new(DOCKERFILE))?;
        text.ok_or_else(|| missing(Path::new(DOCKERFILE)))
    }
}

/// Fetches a context and reads its Dockerfile.
pub(super) fn open(
    context: MainContext,
    file: Option<&Path>,
    fetcher: &Fetcher<'_>,
) -> Result<BuildSource, Failure> {
    let (context, text) = match context {
        MainContext::Http { address, .. } => http(address, fetcher)?,
        other => (other, None),
    };
    let dockerfile = match (file, text) {
        (Some(path), _) if path == Path::new("-") => source(DOCKERFILE, std::io::stdin().lock())?,
        (Some(path), _) if is_address(path) => fetcher.dockerfile(&path.to_string_lossy())?,
        (Some(path), _) if path.is_absolute() => super::local::read(path)?,
        // A Dockerfile alone: there is nothing that -f could choose from.
        (_, Some(text)) => text,
        (path, None) => of_tree(&fetcher.files(&context)?, path)?,
    };
    Ok(BuildSource {
        context,
        directory: None,
        ..BuildSource::local(dockerfile, None, PathBuf::new())
    })
}

/// Tells whether `-f` names something to fetch.
pub(super) fn is_address(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.starts_with("http://") || text.starts_with("https://")
}

/// Fetches what an address has: an archive, or a Dockerfile, whose text comes with it.
fn http(
    address: String,
    fetcher: &Fetcher<'_>,
) -> Result<(MainContext, Option<SourceText>), Failure> {
    let context = MainContext::Http {
        address: address.clone(),
        is_archive: false,
    };
    let asked = context.source(&fetcher.options);
    let (op, title) = asked
        .map_err(|message| bad_address(&message))?
        .ok_or_else(|| bad_address("there is nothing to fetch"))?;
    let download = fetcher.source(op, title)?;
    let mut start = Vec::new();
    if let Some(file) = opened(&download, Path::new(DOWNLOAD))? {
        let read = file.take(SNIFFED_BYTES).read_to_end(&mut start);
        read.map_err(|error| super::unreadable(Path::new(DOWNLOAD), &error))?;
    }
    if is_archive(&start) {
        let context = MainContext::Http {
            address,
            is_archive: true,
        };
        return Ok((context, None));
    }
    let text = read(&download, Path::new(DOWNLOAD))?;
    let text = text.ok_or_else(|| missing(Path::new(DOCKERFILE)))?;
    Ok((context, Some(text)))
}

/// Reads the Dockerfile in a tree: the one that is named, or the one with the usual name.
fn of_tree(tree: &FetchedSource, file: Option<&Path>) -> Result<SourceText, Failure> {
    let path = file.unwrap_or(Path::new(DOCKERFILE));
    if let Some(text) = read(tree, path)? {
        return Ok(text);
    }
    let lower = path.with_file_name(DOCKERFILE_LOWER);
    let text = match path.file_name() {
        Some(name) if name == DOCKERFILE => read(tree, &lower)?,
        _ => None,
    };
    text.ok_or_else(|| missing(path))
}

fn read(tree: &FetchedSource, path: &Path) -> Result<Option<SourceText>, Failure> {
    let name = match path.to_str() {
        Some(DOWNLOAD) => DOCKERFILE.to_owned(),
        _ => shown(path),
    };
    let file = opened(tree, path)?;
    file.map(|file| source(&name, file)).transpose()
}

fn opened(tree: &FetchedSource, path: &Path) -> Result<Option<std::fs::File>, Failure> {
    tree.open(path).map_err(|error| match error {
        StepError::View(error) => {
            let message = format!("cannot read {} of the build context", path.display());
            Failure::new(Exit::Input, message).because(Some(&error))
        }
        other => source_failure(&other),
    })
}

fn missing(path: &Path) -> Failure {
    let message = format!("the build context has no {}", path.display());
    Failure::new(Exit::Input, message).hint("name the Dockerfile in it with -f PATH")
}

fn bad_address(message: &str) -> Failure {
    Failure::new(
        Exit::Input,
        format!("cannot use the build context: {message}"),
    )
}
