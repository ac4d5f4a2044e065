// SPDX-License-Identifier: Apache-2.0
//! Files of a case on disk: the build context and what lies beside it.
//!
//! Every file gets the same time, so that what builders do with times can be seen.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

use super::case::{Case, Section};
use super::words::{split, unescape};
use crate::Program;

/// The time of every file of a context: 2001-09-09T01:46:40Z.
const FILE_TIME: i64 = 1_000_000_000;

/// The time of every entry of an archive that a case describes.
const ENTRY_TIME: u64 = 900_000_000;

/// Writes the files of `case` below `directory` and returns the build context.
pub(super) fn write(case: &Case, directory: &Path, replace: &dyn Fn(&str) -> String) -> PathBuf {
    let context = directory.join("context");
    fs::create_dir_all(&context).expect("the directory is new");
    for section in case.files.iter().filter(|s| !s.name.starts_with('@')) {
        let path = context.join(&section.name);
        let parent = path.parent().expect("a file lies in a directory");
        fs::create_dir_all(parent).expect("the directory is new");
        write_file(section, &path, replace);
    }
    set_times(directory);
    context
}

fn write_file(section: &Section, path: &Path, replace: &dyn Fn(&str) -> String) {
    let line = section.text.trim_end_matches('\n');
    if section.attribute("link").is_some() {
        symlink(line, path).expect("the link is new");
        return;
    }
    if section.attribute("hard").is_some() {
        fs::hard_link(path.with_file_name(line), path).expect("its other name comes first");
        return;
    }
    if section.attribute("dir").is_some() {
        fs::create_dir_all(path).expect("the directory is new");
    } else if section.attribute("fifo").is_some() {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)
            .expect("a pipe can be made");
    } else if section.attribute("socket").is_some() {
        drop(std::os::unix::net::UnixListener::bind(path).expect("a socket can be made"));
    } else {
        let bytes = content(section, path, replace);
        fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let kind_mode = if section.attribute("dir").is_some() {
        0o755
    } else {
        0o644
    };
    let mode = section.attribute("mode").map_or(kind_mode, octal);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

pub(super) fn content(section: &Section, path: &Path, replace: &dyn Fn(&str) -> String) -> Vec<u8> {
    if let Some(packer) = section.attribute("tar") {
        return packed(archive(&section.text), packer, path);
    }
    if let Some(size) = section.attribute("size") {
        let size = size.parse().expect("a size is a number");
        return section.text.trim_end().bytes().cycle().take(size).collect();
    }
    if section.attribute("escaped").is_some() {
        return unescape(&section.text);
    }
    replace(&section.text).into_bytes()
}

fn packed(archive: Vec<u8>, packer: &str, path: &Path) -> Vec<u8> {
    if packer.is_empty() {
        return archive;
    }
    let plain = path.with_extension("unpacked");
    fs::write(&plain, archive).expect("there is room");
    let pack = Program::new(packer).env("PATH", crate::setting::search_path());
    // Without the name and time that gzip keeps: contexts are the same each time.
    let pack = if packer == "gzip" {
        pack.arg("-n")
    } else {
        pack
    };
    let args = ["-f", "-k"];
    drop(pack.args(args).arg(&plain).ok());
    fs::remove_file(&plain).expect("it was just written");
    let suffix = match packer {
        "gzip" => "gz",
        "bzip2" => "bz2",
        "zstd" => "zst",
        other => other,
    };
    let made = path.with_extension(format!("unpacked.{suffix}"));
    let bytes = fs::read(&made).expect("the packer wrote it");
    fs::remove_file(made).expect("it was just read");
    bytes
}

/// Returns the archive of lines `KIND NAME MODE UID:GID [CONTENT]`, KIND as in a listing.
fn archive(lines: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let words = split(line);
        let [kind, name, mode, owner, rest @ ..] = words.as_slice() else {
            panic!("not an entry of an archive: {line}")
        };
        let content = rest.first().map(String::as_str).unwrap_or_default();
        let (uid, gid) = owner.split_once(':').expect("an owner is UID:GID");
        let mut header = tar::Header::new_gnu();
        header.set_mode(octal(mode));
        header.set_uid(uid.parse().expect("a uid is a number"));
        header.set_gid(gid.parse().expect("a gid is a number"));
        header.set_mtime(ENTRY_TIME);
        header.set_size(0);
        header.set_entry_type(match kind.as_str() {
            "file" => tar::EntryType::Regular,
            "dir" => tar::EntryType::Directory,
            "link" => tar::EntryType::Symlink,
            "hard" => tar::EntryType::Link,
            "fifo" => tar::EntryType::Fifo,
            other => panic!("unknown kind of entry: {other}"),
        });
        let appended = if kind == "file" {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_bytes())
        } else if matches!(kind.as_str(), "link" | "hard") {
            archive.append_link(&mut header, name, content)
        } else {
            archive.append_data(&mut header, name, std::io::empty())
        };
        appended.expect("an archive in memory takes everything");
    }
    archive.into_inner().expect("memory does not fail")
}

/// Sets the time of everything below `directory`, what is inside before what holds it.
fn set_times(directory: &Path) {
    for entry in fs::read_dir(directory).expect("the tree is ours").flatten() {
        let kind = entry.file_type().expect("the tree is ours");
        if kind.is_dir() {
            set_times(&entry.path());
        }
    }
    let time = Timespec {
        tv_sec: FILE_TIME,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let paths = fs::read_dir(directory).expect("the tree is ours").flatten();
    for path in paths
        .map(|entry| entry.path())
        .chain([directory.to_owned()])
    {
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .expect("the tree is ours");
    }
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).expect("a mode is octal")
}
