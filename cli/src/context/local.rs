// SPDX-License-Identifier: Apache-2.0
//! A context that is a directory of this machine, and what else lies in directories: Dockerfiles,
//! ignore files, image layouts.
//!
//! Docs: `docker buildx build`. The Dockerfile is `CONTEXT/Dockerfile` (or `dockerfile`).
//! `NAME.dockerignore` beside the Dockerfile goes before `CONTEXT/.dockerignore`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use frontend_dockerfile::{NamedContext, SourceText};
use oci::Digest;

use super::remote::{Fetcher, is_address};
use super::{BuildSource, DOCKERFILE, DOCKERFILE_LOWER, IGNORE_FILE, shown, source, unreadable};
use crate::report::{Exit, Failure};

/// Opens a directory that is there.
pub(super) fn open(
    directory: &Path,
    file: Option<&Path>,
    fetcher: &Fetcher<'_>,
) -> Result<BuildSource, Failure> {
    if let Some(address) = file.filter(|path| is_address(path)) {
        let dockerfile = fetcher.dockerfile(&address.to_string_lossy())?;
        let ignore = ignore_file(None, directory)?;
        return Ok(BuildSource::local(dockerfile, ignore, directory.to_owned()));
    }
    in_directory(directory, file)
}

/// Returns the report on a context that is neither a directory nor an address.
pub(super) fn no_directory(path: &Path) -> Failure {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(_) => {
            let message = format!("build context {shown} is not a directory");
            Failure::new(Exit::Input, message).hint(format!(
                "is it the Dockerfile? Then `-f {shown}` and the directory of its files; a tar \
                 file is read from stdin: `kiln build - < {shown}`"
            ))
        }
        Err(error) => {
            let message = format!("cannot use build context {shown}");
            Failure::new(Exit::Input, message)
                .because(Some(&error))
                .hint("the last argument is the directory with the files of the build, often `.`")
        }
    }
}

/// Returns what an image in a layout is for the frontend.
pub(crate) fn layout_image(
    name: &str,
    path: &Path,
    tag: &str,
    digest: Option<&Digest>,
) -> Result<NamedContext, Failure> {
    let digest = match digest {
        Some(digest) => digest.clone(),
        None => builder::find_in_layout(path, tag)
            .map_err(|error| Failure::from_error(Exit::Input, &error))?,
    };
    Ok(NamedContext::OciLayout {
        store: name.to_owned(),
        digest,
    })
}

pub(super) fn in_directory(directory: &Path, file: Option<&Path>) -> Result<BuildSource, Failure> {
    let (dockerfile, path) = match file {
        Some(path) if path == Path::new("-") => (source(DOCKERFILE, io::stdin().lock())?, None),
        Some(path) => (read(path)?, Some(path.to_owned())),
        None => {
            let path = default_file(directory);
            (read(&path)?, Some(path))
        }
    };
    let ignore = ignore_file(path.as_deref(), directory)?;
    Ok(BuildSource::local(dockerfile, ignore, directory.to_owned()))
}

pub(super) fn default_file(directory: &Path) -> PathBuf {
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

pub(super) fn read(path: &Path) -> Result<SourceText, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let message = format!("{} is a directory, not a Dockerfile", path.display());
        return Err(Failure::new(Exit::Input, message));
    }
    source(&shown(path), file)
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
        let nowhere = no_directory(&directory.path().join("nope"));
        assert_eq!(nowhere.exit(), Exit::Input);
        std::fs::write(directory.path().join("file"), "").unwrap();
        let file = no_directory(&directory.path().join("file")).render(false);
        assert!(file.contains("is not a directory"), "{file}");
        assert!(file.contains("hint: is it the Dockerfile?"), "{file}");
    }
}
