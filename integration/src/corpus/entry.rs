// SPDX-License-Identifier: Apache-2.0
//! One line per entry of a layer: everything that a root file system keeps of a file.

use std::io::Read;

use tar::{Archive, Entry, EntryType};

use super::words::on_one_line;

/// Content up to this size is shown; of more, the digest.
const SHOWN_BYTES_MAX: usize = 100;

/// Times before this were set on purpose (2020-01-01); later ones are the time of the build.
pub(super) const FIXED_TIME_MAX: u64 = 1_577_836_800;

/// The prefix of PAX records that hold extended attributes. Docs: star, bsdtar.
const XATTR: &str = "SCHILY.xattr.";

/// Returns a line per entry of a layer, by path.
pub(super) fn lines(layer: &[u8]) -> Vec<String> {
    let mut archive = Archive::new(layer);
    let entries = archive.entries().expect("a layer is a tar archive");
    let mut lines: Vec<(String, String)> = entries
        .map(|entry| line(entry.expect("a layer is whole")))
        .collect();
    lines.sort();
    let width = lines.iter().map(|(path, _)| path.chars().count()).max();
    let width = width.unwrap_or(0).min(40);
    lines
        .into_iter()
        .map(|(path, rest)| format!("  {path:width$}  {rest}"))
        .collect()
}

/// Returns the path of an entry, and what there is to say of it.
fn line(mut entry: Entry<'_, &[u8]>) -> (String, String) {
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let path = format!("/{}", on_one_line(path.trim_end_matches('/')));
    let target = entry
        .link_name_bytes()
        .map(|name| on_one_line(&String::from_utf8_lossy(&name)));
    let target = target.unwrap_or_default();
    if entry.header().entry_type() == EntryType::Link {
        return (path, format!("hard link to /{target}"));
    }
    if path
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with(".wh."))
    {
        return (path, "whiteout".to_owned());
    }
    let xattrs = xattrs(&mut entry);
    let header = entry.header();
    let device = || {
        let major = header.device_major().ok().flatten().unwrap_or_default();
        let minor = header.device_minor().ok().flatten().unwrap_or_default();
        format!("{major}:{minor}")
    };
    let (kind, what) = match header.entry_type() {
        EntryType::Directory => ("dir", String::new()),
        EntryType::Symlink => ("link", format!(" -> {target}")),
        EntryType::Char => ("char", format!(" {}", device())),
        EntryType::Block => ("block", format!(" {}", device())),
        EntryType::Fifo => ("fifo", String::new()),
        EntryType::Regular | EntryType::Continuous => ("file", String::new()),
        other => panic!("{path}: entry of type {other:?}"),
    };
    let mode = header.mode().expect("an entry has a mode");
    let uid = header.uid().expect("an entry has an owner");
    let gid = header.gid().expect("an entry has a group");
    let mtime = header.mtime().expect("an entry has a time");
    let mut shown = vec![format!("{kind} {mode:04o} {uid}:{gid}{what}")];
    if mtime < FIXED_TIME_MAX {
        shown.push(format!("@{mtime}"));
    }
    if kind == "file" {
        shown.push(content(&mut entry));
    }
    shown.extend(xattrs);
    (path, shown.join(" "))
}

fn content(entry: &mut Entry<'_, &[u8]>) -> String {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).expect("a layer is whole");
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() <= SHOWN_BYTES_MAX => format!("\"{}\"", on_one_line(text)),
        _ => format!("{} bytes {}", bytes.len(), oci::sha256(&bytes)),
    }
}

fn xattrs(entry: &mut Entry<'_, &[u8]>) -> Vec<String> {
    let records = entry.pax_extensions().expect("PAX records are well-formed");
    let mut xattrs = Vec::new();
    for record in records.into_iter().flatten().flatten() {
        let Some(name) = record.key().ok().and_then(|key| key.strip_prefix(XATTR)) else {
            continue;
        };
        let value = record.value_bytes().escape_ascii();
        xattrs.push(format!("{name}={value}"));
    }
    xattrs.sort();
    xattrs
}
