// SPDX-License-Identifier: Apache-2.0
//! `kiln fmt`: Dockerfiles in one style. `docs/fmt.md` has the rules.
//!
//! A file is replaced as a whole, by a rename, and keeps its permissions; one that cannot be parsed
//! stays as it is. Needs no state directory.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use frontend_dockerfile::format::{self, Formatted};
use frontend_dockerfile::{FILE_BYTES_MAX, SourceText};
use tempfile::NamedTempFile;

use super::build_result::problems;
use crate::args::fmt::FmtArgs;
use crate::report::{self, Exit, Failure};

/// Formats every file; the first failure is the result, after the others have been formatted.
pub(crate) fn run(args: &FmtArgs) -> Result<(), Failure> {
    let mut result = Ok(());
    for path in &args.files {
        let one = if path.as_os_str() == "-" {
            standard_input(args)
        } else {
            file(args, path)
        };
        result = match (result, one) {
            (Ok(()), one) => one,
            (Err(first), Ok(())) => Err(first),
            (Err(first), Err(next)) => {
                // Only one failure can be returned; those before it are shown now.
                report::remark(&first.render(false));
                Err(next)
            }
        };
    }
    result
}

fn standard_input(args: &FmtArgs) -> Result<(), Failure> {
    let bytes = read(&mut io::stdin().lock(), "standard input")?;
    let formatted = format("<stdin>", bytes)?;
    if args.check || args.diff {
        return tell(args, "<stdin>", &formatted);
    }
    report::print(&formatted.to_string())
}

fn file(args: &FmtArgs, path: &Path) -> Result<(), Failure> {
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).map_err(|error| failed("read", path, &error))?;
    let mut file = fs::File::open(&target).map_err(|error| failed("read", path, &error))?;
    let name = path.display().to_string();
    let formatted = format(&name, read(&mut file, &name)?)?;
    if args.check || args.diff {
        return tell(args, &name, &formatted);
    }
    if !formatted.is_changed() {
        return Ok(());
    }
    let mode = file.metadata().map(|metadata| metadata.permissions());
    let mode = mode.map_err(|error| failed("read", path, &error))?;
    replace(&target, &formatted.to_string(), mode).map_err(|error| failed("write", path, &error))
}

fn replace(target: &PathBuf, text: &str, mode: fs::Permissions) -> io::Result<()> {
    let parent = target.parent().unwrap_or(Path::new("/"));
    let mut next = NamedTempFile::new_in(parent)?;
    next.write_all(text.as_bytes())?;
    next.as_file().set_permissions(mode)?;
    next.as_file().sync_all()?;
    next.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// Lists the file if it is not in style, or shows what would change.
fn tell(args: &FmtArgs, name: &str, formatted: &Formatted) -> Result<(), Failure> {
    if !formatted.is_changed() {
        return Ok(());
    }
    if args.diff {
        report::print(&format!("--- {name}\n+++ {name}\n{}", formatted.diff()))?;
    } else {
        report::print(&format!("{name}\n"))?;
    }
    if args.check {
        return Err(Failure::silent(Exit::Failed));
    }
    Ok(())
}

fn format(name: &str, bytes: Vec<u8>) -> Result<Formatted, Failure> {
    let source = SourceText::from_bytes(name, bytes)
        .map_err(|error| Failure::from_error(Exit::Input, &error))?;
    format::format(&source).map_err(|found| problems(&source, &found))
}

fn read(from: &mut impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than a Dockerfile may have: the parser says so then.
    let limit = FILE_BYTES_MAX as u64 + 1;
    from.take(limit).read_to_end(&mut bytes).map_err(|error| {
        Failure::from_error(Exit::Input, &error).hint(format!("reading {name}"))
    })?;
    Ok(bytes)
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Input,
        format!("cannot {verb} {}: {error}", path.display()),
    )
}
