// SPDX-License-Identifier: Apache-2.0
//! A context from standard input: a Dockerfile without files, or a tar file, told apart by content.
//!
//! An ignore file in the tar does not count. `Observed:` buildx gives the tar to BuildKit 73ed6825
//! as a download, and what is downloaded comes as it is.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use frontend_dockerfile::SourceText;
use tempfile::TempDir;

use super::local::{default_file, read};
use super::{BuildSource, DOCKERFILE, SNIFFED_BYTES, is_archive, shown, source, unreadable};
use crate::report::{Exit, Failure};

/// Reads a context from `stdin`.
pub(super) fn open(
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
    let dockerfile = if is_archive(&start) {
        builder::unpack_context(spooled, &directory)
            .map_err(|error| Failure::from_error(Exit::Input, &error))?;
        let path = inside(&directory, file)?;
        read_in(&directory, &path)?
    } else if file.is_some() {
        return Err(Failure::usage(
            "both -f and stdin are Dockerfiles: which one is meant?",
        )
        .hint("without -f the Dockerfile is read from stdin; a tar file there can have the one that -f names"));
    } else {
        source(DOCKERFILE, spooled)?
    };
    Ok(BuildSource {
        _temporary: Some(temporary),
        ..BuildSource::local(dockerfile, None, directory)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn stdin_is_a_dockerfile_or_a_tar_by_content() {
        let scratch = tempfile::tempdir().unwrap();
        let plain = open(None, scratch.path(), &b"FROM a\n"[..]).unwrap();
        assert_eq!(plain.dockerfile.text(), "FROM a\n");
        let files = plain.directory.as_ref().unwrap();
        assert_eq!(std::fs::read_dir(files).unwrap().count(), 0);
        let tar = archive(&[("Dockerfile", "FROM b"), ("x/y", "z"), ("f", "FROM c")]);
        let unpacked = open(None, scratch.path(), tar.as_slice()).unwrap();
        assert_eq!(unpacked.dockerfile.text(), "FROM b");
        assert_eq!(unpacked.dockerfile.name(), "Dockerfile");
        let files = unpacked.directory.as_ref().unwrap();
        assert_eq!(std::fs::read_to_string(files.join("x/y")).unwrap(), "z");
        let named = open(Some(Path::new("f")), scratch.path(), tar.as_slice()).unwrap();
        assert_eq!(named.dockerfile.text(), "FROM c");
        drop((plain, unpacked, named));
        assert_eq!(
            std::fs::read_dir(scratch.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }

    #[test]
    fn an_ignore_file_in_a_tar_does_not_count() {
        let scratch = tempfile::tempdir().unwrap();
        let tar = archive(&[("Dockerfile", "FROM b"), (".dockerignore", "*")]);
        let unpacked = open(None, scratch.path(), tar.as_slice()).unwrap();
        assert_eq!(unpacked.ignore, None);
    }

    #[test]
    fn two_dockerfiles_are_one_too_many() {
        let scratch = tempfile::tempdir().unwrap();
        let both = open(Some(Path::new("f")), scratch.path(), &b"FROM a\n"[..]);
        assert_eq!(both.unwrap_err().exit(), Exit::Usage);
    }
}
