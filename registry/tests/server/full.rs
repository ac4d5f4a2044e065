// SPDX-License-Identifier: Apache-2.0
//! A full disk: refused in words, nothing truncated, and the registry goes on when there is room.

use std::path::Path;
use std::process::Command;

use oci::sha256;

use crate::peer::{Request, Server, config};

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]);
        let status = command.arg(folder.path()).status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.path()).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_is_an_answer() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root to mount a small disk: a_full_disk_is_an_answer");
        return;
    }
    let Some(disk) = SmallDisk::mount() else {
        println!("cannot mount a tmpfs here: a_full_disk_is_an_answer");
        return;
    };
    let server = Server::on(config(disk.path()));
    let kept = server.push_blob("a", b"kept");
    let big = vec![7; 20 << 20];
    let digest = sha256(&big);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    for request in [
        Request::new("POST", &path).body(&big),
        Request::new("POST", &path).stream(&big),
    ] {
        let answer = server.send(&request);
        assert_eq!((answer.status, &*answer.code()), (507, "UNAVAILABLE"));
    }
    assert_eq!(server.head(&format!("/v2/a/blobs/{digest}")).status, 404);
    assert_eq!(server.get(&format!("/v2/a/blobs/{kept}")).body, b"kept");
    server.push_blob("a", b"there is room again");
    drop(server);
    drop(disk);
}
