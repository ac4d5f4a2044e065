// SPDX-License-Identifier: Apache-2.0
//! `kiln rmi`: a name goes; with its last name, the image.
//!
//! Docs: `docker image rm`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use oci::layout::{GcOptions, ImageEntry, Layout};
use oci::{ChainId, Digest, Platform, Reference, chain_ids};

use super::image_list;
use crate::args::images::RmiArgs;
use crate::environment;
use crate::report::{self, Exit, Failure};
use crate::session::Session;

/// Removes what can be removed, then fails if something could not.
pub(crate) fn run(args: &RmiArgs, session: &Session) -> Result<(), Failure> {
    let layout = session.layout()?;
    let mut failed: Option<Failure> = None;
    let mut deleted = false;
    for text in &args.images {
        match remove(&layout, text, args.force) {
            Ok(is_deleted) => deleted |= is_deleted,
            // Docs: with --force, what is not there is no failure.
            Err(failure) if args.force && failure.exit() == Exit::Failed => {
                report::remark(&failure.render(false));
            }
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    }
    if deleted && !args.no_prune {
        layout.collect(&GcOptions::at(environment::now()), &|_| false)?;
    }
    failed.map_or(Ok(()), Err)
}

/// Removes one name or image; returns whether an image went.
fn remove(layout: &Layout, text: &str, force: bool) -> Result<bool, Failure> {
    let entry = layout.find(text)?;
    let digest = entry.descriptor.digest.clone();
    let names: Vec<Reference> = layout
        .entries()?
        .iter()
        .filter(|one| one.descriptor.digest == digest)
        .filter_map(ImageEntry::reference)
        .collect();
    let chosen = text
        .parse::<Reference>()
        .ok()
        .filter(|name| names.contains(name));
    if chosen.is_none() && names.len() > 1 && !force {
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        let message = format!("image {text} has several names: {}", shown.join(", "));
        return Err(Failure::new(Exit::Failed, message).hint("remove the names, or use --force"));
    }
    let mut out = String::new();
    let going: Vec<&Reference> = match &chosen {
        Some(name) => vec![name],
        None => names.iter().collect(),
    };
    let is_deleted = going.len() == names.len();
    // What is printed is read before it is gone.
    let content = if is_deleted {
        deleted_lines(layout, &entry)?
    } else {
        String::new()
    };
    for name in going {
        layout.untag(name)?;
        writeln!(out, "Untagged: {}", name.familiar()).ok();
    }
    if is_deleted {
        layout.remove(&digest)?;
        out.push_str(&content);
    }
    report::print(&out)?;
    Ok(is_deleted)
}

/// Returns the lines about an image and its layers that no other image has, topmost first.
fn deleted_lines(layout: &Layout, entry: &ImageEntry) -> Result<String, Failure> {
    let Ok(image) = image_list::read(layout, entry, &Platform::host()) else {
        // Damaged, and therefore to be removed: the digest is all that is known.
        return Ok(format!("Deleted: {}\n", entry.descriptor.digest));
    };
    let mut kept: BTreeSet<Digest> = BTreeSet::new();
    for other in image_list::all(layout)? {
        if other.entry.descriptor.digest != entry.descriptor.digest {
            let chain = chain_ids(&other.image.config().rootfs.diff_ids);
            kept.extend(chain.into_iter().map(|ChainId(digest)| digest));
        }
    }
    let mut out = format!("Deleted: {}\n", image.id());
    for ChainId(digest) in chain_ids(&image.config().rootfs.diff_ids).into_iter().rev() {
        if !kept.contains(&digest) {
            writeln!(out, "Deleted: {digest}").ok();
        }
    }
    Ok(out)
}
