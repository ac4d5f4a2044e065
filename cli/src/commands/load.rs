// SPDX-License-Identifier: Apache-2.0
//! `kiln load`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use builder::export::archive;
use oci::Platform;

use crate::args::images::LoadArgs;
use crate::report::{self, Exit, Failure};
use crate::session::Session;

/// Reads all images of an archive into the store.
pub(crate) fn run(args: &LoadArgs, session: &Session) -> Result<(), Failure> {
    let input: Box<dyn Read + Send> = match &args.input {
        Some(path) if path != Path::new("-") => Box::new(open(path)?),
        _ if io::stdin().is_terminal() => {
            return Err(Failure::usage("an archive is not read from a terminal")
                .hint("use -i FILE or redirect stdin"));
        }
        _ => Box::new(io::stdin()),
    };
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let images = archive::load(&session.layout()?, input, &platform)?;
    let mut out = String::new();
    for image in images {
        if image.names.is_empty() {
            writeln!(out, "Loaded image ID: {}", image.id).ok();
        }
        for name in image.names {
            writeln!(out, "Loaded image: {}", name.familiar()).ok();
        }
    }
    report::print(&out)
}

/// Opens a file that the user named.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let message = format!("cannot read {}", path.display());
        Failure::new(Exit::Input, message).because(Some(&error))
    })
}
