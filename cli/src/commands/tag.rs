// SPDX-License-Identifier: Apache-2.0
//! `kiln tag`.

use crate::args::images::TagArgs;
use crate::report::Failure;
use crate::session::Session;

/// Gives an image another name.
pub(crate) fn run(args: &TagArgs, session: &Session) -> Result<(), Failure> {
    if args.target.digest().is_some() {
        return Err(Failure::usage(
            "an image cannot be given a name with a digest",
        ));
    }
    let layout = session.layout()?;
    let entry = layout.find(&args.source)?;
    layout.tag(&args.target, &entry.descriptor)?;
    Ok(())
}
