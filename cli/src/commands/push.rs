// SPDX-License-Identifier: Apache-2.0
//! `kiln push`.

use oci::Reference;
use oci::layout::Layout;

use crate::args::images::PushArgs;
use crate::progress::transfer::{self, Screen};
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// Uploads an image, or all tags of a repository.
pub(crate) fn run(args: &PushArgs, session: &Session) -> Result<(), Failure> {
    let reference: Reference = args.image.parse()?;
    let layout = session.layout()?;
    let wanted = if args.all_tags {
        all_tags(&layout, &reference)?
    } else {
        vec![reference.clone()]
    };
    let client = session.client()?;
    let progress = transfer::progress(transfer::PUSH, Screen::of(args.quiet));
    if !args.quiet {
        report::print(&format!(
            "The push refers to repository [{}]\n",
            reference.repository()
        ))?;
    }
    session::block_on_droppable(async {
        for reference in &wanted {
            let Some(descriptor) = layout.resolve(reference)? else {
                let message = format!("no image `{}` in the image store", reference.familiar());
                return Err(Failure::new(Exit::Failed, message).hint(format!(
                    "name one: `kiln tag IMAGE {}`",
                    reference.familiar()
                )));
            };
            let pushed = client
                .push(&layout, &descriptor, reference, &progress)
                .await?;
            let line = if args.quiet {
                format!("{reference}\n")
            } else {
                let tag = reference.manifest_reference();
                let (digest, bytes) = (&pushed.descriptor.digest, pushed.descriptor.size_bytes);
                format!("{tag}: digest: {digest} size: {bytes}\n")
            };
            report::print(&line)?;
        }
        Ok(())
    })
}

fn all_tags(layout: &Layout, reference: &Reference) -> Result<Vec<Reference>, Failure> {
    let entries = layout.entries()?;
    let names = entries
        .iter()
        .filter_map(oci::layout::ImageEntry::reference);
    let same =
        |name: &Reference| name.repository() == reference.repository() && name.tag().is_some();
    let names: Vec<Reference> = names.filter(same).collect();
    if names.is_empty() {
        let message = format!("no image of {} in the image store", reference.repository());
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(names)
}
