// SPDX-License-Identifier: Apache-2.0
//! A root file system of one program: Debian's `busybox-static` and a link for each applet.
//!
//! The archive is a function of `/bin/busybox` alone: names in order, time zero, ids zero.

use std::io;
use std::path::Path;

/// The applets that tests use; busybox has many more.
pub const APPLETS: &[&str] = &[
    "awk",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "kill",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mknod",
    "mount",
    "mv",
    "nc",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "su",
    "sync",
    "tail",
    "tar",
    "test",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "wc",
    "wget",
    "whoami",
    "xargs",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/home/builder:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbuilder:x:1000:\nextra:x:2000:builder\n";

/// Returns the archive of the root file system.
///
/// # Errors
///
/// `/bin/busybox` cannot be read.
pub fn busybox_rootfs() -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (directory, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("var", 0o755),
    ] {
        entry(
            &mut archive,
            &format!("{directory}/"),
            tar::EntryType::Directory,
            mode,
            b"",
        )?;
    }
    let program = std::fs::read(Path::new("/bin/busybox"))?;
    entry(
        &mut archive,
        "bin/busybox",
        tar::EntryType::Regular,
        0o755,
        &program,
    )?;
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    entry(
        &mut archive,
        "etc/passwd",
        tar::EntryType::Regular,
        0o644,
        PASSWD.as_bytes(),
    )?;
    entry(
        &mut archive,
        "etc/group",
        tar::EntryType::Regular,
        0o644,
        GROUP.as_bytes(),
    )?;
    archive.into_inner()
}

fn entry(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(kind, mode, content.len() as u64);
    archive.append_data(&mut header, name, content)
}

fn header(kind: tar::EntryType, mode: u32, size_bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes);
    header
}
