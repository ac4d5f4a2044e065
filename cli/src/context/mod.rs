// SPDX-License-Identifier: Apache-2.0
//! Where the text and the files of a build come from: Dockerfile, ignore file, context.
//!
//! Docs: `docker buildx build`. CONTEXT is a directory ([`local`]), `-` for standard input
//! ([`stdin`]), or the address of a git repository, an archive or a Dockerfile ([`remote`]). `-f` is
//! a path seen from the current directory, or in the context if that is not a directory here;
//! `-f -` is standard input; an address is fetched.

mod local;
mod remote;
mod stdin;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use builder::SourceAccess;
use frontend_dockerfile::{FILE_BYTES_MAX, MainContext, SourceText};
use tempfile::TempDir;

use crate::args::build_context::ContextArg;
use crate::report::{Exit, Failure};
pub(crate) use local::layout_image;
pub(crate) use remote::Fetcher;

const DOCKERFILE: &str = "Dockerfile";
/// Observed: BuildKit takes this name too if there is no other.
const DOCKERFILE_LOWER: &str = "dockerfile";
const IGNORE_FILE: &str = ".dockerignore";
/// Bytes that tell an archive from text: the first header of a tar.
const SNIFFED_BYTES: u64 = 512;

/// What a build reads.
#[derive(Debug)]
pub(crate) struct BuildSource {
    /// The Dockerfile.
    pub(crate) dockerfile: SourceText,
    /// The ignore file, if there is one that counts.
    pub(crate) ignore: Option<SourceText>,
    /// Where the files are.
    pub(crate) context: MainContext,
    /// The directory with the files; none if they were fetched.
    pub(crate) directory: Option<PathBuf>,
    /// What was used to fetch, for the build.
    pub(crate) access: SourceAccess,
    /// Removes an unpacked context in the end.
    _temporary: Option<TempDir>,
}

impl BuildSource {
    fn local(dockerfile: SourceText, ignore: Option<SourceText>, directory: PathBuf) -> Self {
        Self {
            dockerfile,
            ignore,
            context: MainContext::Local,
            directory: Some(directory),
            access: SourceAccess::default(),
            _temporary: None,
        }
    }
}

/// Finds Dockerfile, ignore file and files. `scratch` is a directory, made if needed, where a
/// context from standard input is unpacked.
pub(crate) fn open(
    context: &ContextArg,
    file: Option<&Path>,
    scratch: &Path,
    fetcher: &Fetcher<'_>,
) -> Result<BuildSource, Failure> {
    let mut source = match context {
        ContextArg::Stdin if file == Some(Path::new("-")) => {
            return Err(Failure::usage(
                "Dockerfile and context cannot both come from stdin",
            ));
        }
        ContextArg::Stdin => stdin::open(file, scratch, io::stdin().lock())?,
        // A directory goes before an address that looks like it.
        ContextArg::Place(text) if Path::new(text).is_dir() => {
            local::open(Path::new(text), file, fetcher)?
        }
        ContextArg::Place(text) => match MainContext::remote(text) {
            Some(context) => remote::open(context, file, fetcher)?,
            None => return Err(local::no_directory(Path::new(text))),
        },
    };
    source.access = fetcher.access.clone();
    Ok(source)
}

/// Finds Dockerfile and ignore file on this machine: a directory, or standard input.
pub(crate) fn open_here(
    place: &Path,
    file: Option<&Path>,
    scratch: &Path,
) -> Result<BuildSource, Failure> {
    if place == Path::new("-") {
        return stdin::open(file, scratch, io::stdin().lock());
    }
    if !place.is_dir() {
        return Err(local::no_directory(place));
    }
    local::in_directory(place, file)
}

/// Reads a text of at most [`FILE_BYTES_MAX`] bytes.
fn source(name: &str, text: impl Read) -> Result<SourceText, Failure> {
    let mut bytes = Vec::new();
    text.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(Path::new(name), &error))?;
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("{name} is larger than {FILE_BYTES_MAX} bytes");
        return Err(Failure::new(Exit::Input, message));
    }
    SourceText::from_bytes(name, bytes)
        .map_err(|error| Failure::from_error(Exit::Input, &error).hint("save the file as UTF-8"))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read {}", path.display());
    let failure = Failure::new(Exit::Input, message).because(Some(error));
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint("name the Dockerfile with -f PATH"),
        _ => failure,
    }
}

/// The name shown in reports: as short as it was typed.
fn shown(path: &Path) -> String {
    let name = path.strip_prefix("./").unwrap_or(path);
    name.display().to_string()
}

/// Tells a tar file, compressed or not, from a Dockerfile.
fn is_archive(start: &[u8]) -> bool {
    const MAGICS: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
    ];
    MAGICS.iter().any(|magic| start.starts_with(magic)) || start.get(257..262) == Some(b"ustar")
}
