// SPDX-License-Identifier: Apache-2.0
//! Where the text and the files of a build come from: Dockerfile, ignore file, directory.
//!
//! Docs: `docker buildx build`. The Dockerfile is `CONTEXT/Dockerfile` (or `dockerfile`); `-f` is
//! seen from the current directory, `-f -` is standard input. `NAME.dockerignore` beside the
//! Dockerfile goes before `CONTEXT/.dockerignore`. CONTEXT `-` is a Dockerfile without files, or a
//! tar file, told apart by content; then `-f` is a path in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use frontend_dockerfile::{FILE_BYTES_MAX, SourceText};
use tempfile::TempDir;

use crate::args::build_context::ContextArg;
use crate::report::{Exit, Failure};

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
    /// The ignore file, if there is one.
    pub(crate) ignore: Option<SourceText>,
    /// The directory with the files; an empty one if there are none.
    pub(crate) directory: PathBuf,
    /// Removes an unpacked context in the end.
    _temporary: Option<TempDir>,
}

/// Finds Dockerfile, ignore file and directory. `scratch` is a directory, made if needed, where a
/// context from standard input is unpacked.
pub(crate) fn open(
    context: &ContextArg,
    file: Option<&Path>,
    scratch: &Path,
) -> Result<BuildSource, Failure> {
    match context {
        ContextArg::Directory(directory) => in_directory(directory, file),
        ContextArg::Stdin if file == Some(Path::new("-")) => Err(Failure::usage(
            "Dockerfile and context cannot both come from stdin",
        )),
        ContextArg::Stdin => from_stdin(file, scratch, io::stdin().lock()),
    }
}

fn in_directory(directory: &Path, file: Option<&Path>) -> Result<BuildSource, Failure> {
    let metadata = std::fs::metadata(directory).map_err(|error| {
        let message = format!("cannot use build context {}", directory.display());
        Failure::new(Exit::Input, message).because(Some(&error))
    })?;
    if !metadata.is_dir() {
        let message = format!("build context {} is not a directory", directory.display());
        return Err(Failure::new(Exit::Input, message));
    }
    let (dockerfile, path) = match file {
        Some(path) if path == Path::new("-") => (source("Dockerfile", io::stdin().lock())?, None),
        Some(path) => (read(path)?, Some(path.to_owned())),
        None => {
            let path = default_file(directory);
            (read(&path)?, Some(path))
        }
    };
    Ok(BuildSource {
        ignore: ignore_file(path.as_deref(), directory)?,
        dockerfile,
        directory: directory.to_owned(),
        _temporary: None,
    })
}

fn default_file(directory: &Path) -> PathBuf {
    let [usual, lower] = [DOCKERFILE, DOCKERFILE_LOWER].map(|name| directory.join(name));
    if !usual.exists() && lower.exists() {
        lower
    } else {
        usual
    }
}

/// Reads the ignore file that belongs to the Dockerfile at `path`.
fn ignore_file(path: Option<&Path>, directory: &Path) -> Result<Option<SourceText>, Failure> {
    let own = path.and_then(|path| {
        let mut name = path.file_name()?.to_owned();
        name.push(IGNORE_FILE);
        Some(path.with_file_name(name))
    });
    for candidate in own.into_iter().chain([directory.join(IGNORE_FILE)]) {
        match File::open(&candidate) {
            Ok(file) => return source(&shown(&candidate), file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&candidate, &error)),
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<SourceText, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let message = format!("{} is a directory, not a Dockerfile", path.display());
        return Err(Failure::new(Exit::Input, message));
    }
    source(&shown(path), file)
}

/// The name shown in reports: as short as it was typed.
fn shown(path: &Path) -> String {
    let name = path.strip_prefix("./").unwrap_or(path);
    name.display().to_string()
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read {}", path.display());
    let failure = Failure::new(Exit::Input, message).because(Some(error));
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint("name the Dockerfile with -f PATH"),
        _ => failure,
    }
}

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

fn from_stdin(
    file: Option<&Path>,
    scratch: &Path,
    mut stdin: impl Read,
) -> Result<BuildSource, Failure> {
    let failed = |error: io::Error| {
        let message = format!("cannot keep the build context in {}", scratch.display());
        Failure::new(Exit::Store, message).because(Some(&error))
    };
    std::fs::create_dir_all(scratch).map_err(failed)?;
    let temporary = TempDir::with_prefix_in("context-", scratch).map_err(failed)?;
    let directory = temporary.path().join("files");
    std::fs::create_dir(&directory).map_err(failed)?;
    let mut spooled = tempfile::tempfile_in(temporary.path()).map_err(failed)?;
    io::copy(&mut stdin, &mut spooled).map_err(failed)?;
    let mut start = Vec::new();
    spooled.seek(SeekFrom::Start(0)).map_err(failed)?;
    (&mut spooled)
        .take(SNIFFED_BYTES)
        .read_to_end(&mut start)
        .map_err(failed)?;
    spooled.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (dockerfile, ignore) = if is_archive(&start) {
        builder::unpack_context(spooled, &directory)
            .map_err(|error| Failure::from_error(Exit::Input, &error))?;
        let path = inside(&directory, file)?;
        let text = read_in(&directory, &path)?;
        (text, ignore_file(Some(&path), &directory)?)
    } else {
        (source(DOCKERFILE, spooled)?, None)
    };
    Ok(BuildSource {
        dockerfile,
        ignore,
        directory,
        _temporary: Some(temporary),
    })
}

/// Returns where in an unpacked context the Dockerfile is. The archive may have made symlinks, so
/// the real path must lie inside.
fn inside(directory: &Path, file: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match file {
        None => default_file(directory),
        Some(file) => directory.join(file.strip_prefix("/").unwrap_or(file)),
    };
    let outside = || {
        let name = file.unwrap_or(Path::new(DOCKERFILE));
        let message = format!("{} leads out of the build context", name.display());
        Failure::new(Exit::Input, message)
    };
    let root = directory
        .canonicalize()
        .map_err(|error| unreadable(directory, &error))?;
    match path.canonicalize() {
        Ok(real) if real.starts_with(&root) => Ok(real),
        Ok(_) => Err(outside()),
        Err(error) => Err(unreadable(file.unwrap_or(Path::new(DOCKERFILE)), &error)),
    }
}

fn read_in(directory: &Path, path: &Path) -> Result<SourceText, Failure> {
    let text = read(path)?;
    // Not the temporary place, which means nothing to anybody.
    let name = path
        .strip_prefix(directory.canonicalize().unwrap_or_default())
        .unwrap_or(path);
    Ok(SourceText::new(shown(name), text.text()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_dockerfile_and_its_ignore_file_are_found_as_docker_finds_them() {
        let both = [("Dockerfile", "FROM a"), ("dockerfile", "FROM b")];
        let ignores = [
            ("Dockerfile", "FROM a"),
            ("Dockerfile.dockerignore", "x"),
            (".dockerignore", "y"),
        ];
        for (rule, files, flag, text, ignore) in [
            ("the usual name", &both[..], None, "FROM a", None),
            (
                "lower case if there is no other",
                &both[1..],
                None,
                "FROM b",
                None,
            ),
            (
                "its own ignore file first",
                &ignores[..],
                None,
                "FROM a",
                Some("x"),
            ),
            (
                "else the context's",
                &[("d/f", "FROM c"), (".dockerignore", "y")],
                Some("d/f"),
                "FROM c",
                Some("y"),
            ),
        ] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), files);
            let flag = flag.map(|name| directory.path().join(name));
            let found = in_directory(directory.path(), flag.as_deref()).unwrap();
            assert_eq!(found.dockerfile.text(), text, "{rule}");
            assert_eq!(
                found.ignore.as_ref().map(SourceText::text),
                ignore,
                "{rule}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_input_error() {
        let directory = tempfile::tempdir().unwrap();
        for (rule, context, flag) in [
            ("no context", directory.path().join("nope"), None),
            ("no Dockerfile", directory.path().to_owned(), None),
            (
                "a directory",
                directory.path().to_owned(),
                Some(directory.path()),
            ),
        ] {
            let failure = in_directory(&context, flag).unwrap_err();
            assert_eq!(failure.exit(), Exit::Input, "{rule}");
        }
    }

    #[test]
    fn stdin_is_a_dockerfile_or_a_tar_by_content() {
        let scratch = tempfile::tempdir().unwrap();
        let plain = from_stdin(None, scratch.path(), &b"FROM a\n"[..]).unwrap();
        assert_eq!(plain.dockerfile.text(), "FROM a\n");
        assert_eq!(std::fs::read_dir(&plain.directory).unwrap().count(), 0);
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in [("Dockerfile", "FROM b"), ("x/y", "z")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let unpacked = from_stdin(None, scratch.path(), tar.as_slice()).unwrap();
        assert_eq!(unpacked.dockerfile.text(), "FROM b");
        assert_eq!(unpacked.dockerfile.name(), "Dockerfile");
        assert_eq!(
            std::fs::read_to_string(unpacked.directory.join("x/y")).unwrap(),
            "z"
        );
        drop((plain, unpacked));
        assert_eq!(
            std::fs::read_dir(scratch.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }
}
