// SPDX-License-Identifier: Apache-2.0
//! Layers made from planted and from really mounted upper directories, unpacked again and read by
//! other programs.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use oci::layer::{Compression, LayerReader};
use proptest::prelude::*;

use super::{DiffError, LayerOptions, LayerStats, Times};
use crate::testing::{exact_listing, is_root, listing, plant, snapshot, store};
use crate::{ActiveSnapshot, Attributes, NewDir, SnapshotId, Store, apply_layer};

fn options(threads: usize) -> LayerOptions {
    LayerOptions {
        compression: Compression::default(),
        threads: NonZero::new(threads).unwrap(),
        times: Times::Keep,
    }
}

fn layer(store: &Store, id: SnapshotId) -> Result<(Vec<u8>, LayerStats), DiffError> {
    let snapshot = store.snapshot(id).unwrap();
    let (blob, described, stats) = store.write_layer(&snapshot, 0, options(2), Vec::new())?;
    assert_eq!(described.digest, oci::sha256(&blob));
    Ok((blob, stats))
}

fn tar_of(blob: Vec<u8>) -> Vec<u8> {
    let mut tar = Vec::new();
    LayerReader::new(Cursor::new(blob))
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    tar
}

/// The names in a tar, by GNU tar.
fn names(tar: &[u8]) -> Vec<String> {
    let mut child = Command::new("tar")
        .args(["-tf", "-", "--quoting-style=literal"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = tar.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes).ok());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Unpacks the top layer of `id` onto its parent, and returns the snapshot that gives.
fn rebuilt(store: &Store, id: SnapshotId, parent: Option<SnapshotId>) -> SnapshotId {
    let (blob, _) = layer(store, id).unwrap();
    let active = store.prepare(parent).unwrap();
    apply_layer(Cursor::new(blob), &active.upper().unwrap()).unwrap();
    store.commit(active, None).unwrap()
}

#[test]
fn layer_lists_changes_in_order_with_their_parents() {
    if !is_root("whiteouts") {
        return;
    }
    let (_dir, store) = store();
    let base = snapshot(
        &store,
        None,
        &[
            ("a/b/old", "1"),
            ("a/same", "1"),
            ("gone", "1"),
            ("opaque/x/y", "1"),
            ("opaque/z", "1"),
        ],
    );
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    let plain = Attributes::default();
    upper
        .write_file(Path::new("a/b/new"), b"2", &plain)
        .unwrap();
    upper.remove(Path::new("gone"), false).unwrap();
    upper.remove(Path::new("opaque"), false).unwrap();
    upper
        .make_dir(Path::new("opaque"), &NewDir::default(), false)
        .unwrap();
    upper
        .write_file(Path::new("opaque/z"), b"3", &plain)
        .unwrap();
    // Copied up, and nothing in it changed: no entry.
    upper
        .make_dirs(Path::new("a/b"), &NewDir::default())
        .unwrap();
    let id = store.commit(active, None).unwrap();
    let (blob, stats) = layer(&store, id).unwrap();
    assert_eq!(
        names(&tar_of(blob)),
        [
            "a/",
            "a/b/",
            "a/b/new",
            ".wh.gone",
            "opaque/",
            "opaque/.wh.x",
            "opaque/z"
        ]
    );
    assert_eq!(stats.entries, 7);
    let again = rebuilt(&store, id, Some(base));
    assert_eq!(
        listing(&store.view(again).unwrap()),
        listing(&store.view(id).unwrap())
    );
}

#[test]
fn layer_that_changes_nothing_has_no_entries() {
    let (_dir, store) = store();
    let base = snapshot(&store, None, &[("etc/x", "1")]);
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    upper
        .make_dirs(Path::new("etc"), &NewDir::default())
        .unwrap();
    let etc = upper
        .make_dirs(Path::new("etc"), &NewDir::default())
        .unwrap();
    etc.copy_up("x".as_ref()).unwrap();
    let id = store.commit(active, None).unwrap();
    let (blob, stats) = layer(&store, id).unwrap();
    assert_eq!(stats, LayerStats::default());
    assert_eq!(tar_of(blob), vec![0; 1024]);
}

#[test]
fn blob_depends_on_files_and_not_on_threads_or_when() {
    let (_dir, store) = store();
    let big = "0123456789abcdef".repeat(300_000);
    let files = [
        ("big", big.as_str()),
        ("dir/small", "x"),
        ("link", "-> dir"),
    ];
    let mut digests = Vec::new();
    for threads in [1, 2, 5] {
        let id = snapshot(&store, None, &files);
        let snapshot = store.snapshot(id).unwrap();
        let clamped = LayerOptions {
            times: Times::NotAfter(1_000_000_000),
            ..options(threads)
        };
        let (_, blob, _) = store
            .write_layer(&snapshot, 0, clamped, Vec::new())
            .unwrap();
        digests.push(blob);
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[test]
fn reserved_names_are_refused_and_sockets_left_out() {
    let (_dir, store) = store();
    let id = snapshot(&store, None, &[("d/.wh.user", "x")]);
    let error = layer(&store, id).unwrap_err();
    assert!(matches!(&error, DiffError::ReservedName(path) if path == Path::new("d/.wh.user")));
    let active = store.prepare(None).unwrap();
    plant(active.upper_dir(), &[("f", "x")]);
    drop(std::os::unix::net::UnixListener::bind(active.upper_dir().join("s")).unwrap());
    let id = store.commit(active, None).unwrap();
    let (blob, stats) = layer(&store, id).unwrap();
    assert_eq!(
        (names(&tar_of(blob)), stats.skipped_sockets),
        (vec!["f".to_owned()], 1)
    );
}

#[test]
fn hard_links_capabilities_and_long_names_survive() {
    if !is_root("capabilities") {
        return;
    }
    let (_dir, store) = store();
    let active = store.prepare(None).unwrap();
    let long = format!(
        "{}/{}/ö{}",
        "d".repeat(120),
        "e".repeat(200),
        "f".repeat(200)
    );
    plant(
        active.upper_dir(),
        &[("one", "linked"), ("ping", "x"), (&long, "long")],
    );
    let root = active.upper_dir();
    fs::hard_link(root.join("one"), root.join("two")).unwrap();
    std::os::unix::fs::symlink("t".repeat(300), root.join("long-link")).unwrap();
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    rustix::fs::setxattr(
        root.join("ping"),
        "security.capability",
        capability,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let id = store.commit(active, None).unwrap();
    let again = rebuilt(&store, id, None);
    assert_eq!(
        exact_listing(&store.view(again).unwrap()),
        exact_listing(&store.view(id).unwrap())
    );
    let (blob, _) = layer(&store, id).unwrap();
    let tar = tar_of(blob);
    let gnu: Vec<_> = names(&tar).into_iter().collect();
    assert!(gnu.contains(&long), "GNU tar reads the long name");
    assert_eq!(python_names(&tar).unwrap_or_else(|| gnu.clone()), gnu);
}

/// The names in a tar, by Python; directories with a slash.
fn python_names(tar: &[u8]) -> Option<Vec<String>> {
    let script = "import io,sys,tarfile
for e in tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())):
    sys.stdout.buffer.write((e.name + ('/' if e.isdir() else '') + '\\n').encode())";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(tar).ok()?;
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

/// A real overlay mount of an active snapshot.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(active: &ActiveSnapshot, at: &Path) -> Option<Self> {
        let lowers: Vec<_> = active
            .lowers()
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect();
        let data = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off,xino=off",
            lowers.join(":"),
            active.upper_dir().display(),
            active.work_dir().display()
        );
        fs::create_dir_all(at).unwrap();
        let data = std::ffi::CString::new(data).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("overlay", at, "overlay", flags, data.as_c_str())
            .ok()
            .map(|()| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

/// A further name for a file of the layers below: overlayfs copies that file up, and the names that
/// it had stay names of one file. Those that it does not copy up are files of their own.
#[test]
fn rule_119_a_new_name_brings_the_others_along() {
    if !is_root("overlay mounts") {
        return;
    }
    let (dir, store) = store();
    let base = snapshot(&store, None, &[("m", "linked"), ("d/same", "1")]);
    let active = store.prepare(Some(base)).unwrap();
    let mount = dir.path().join("mount");
    let Some(mounted) = Mounted::new(&active, &mount) else {
        println!("skipped: no overlay mount here");
        return;
    };
    fs::hard_link(mount.join("m"), mount.join("z")).unwrap();
    fs::hard_link(mount.join("m"), mount.join("d/a")).unwrap();
    drop(mounted);
    let id = store.commit(active, None).unwrap();
    let (blob, stats) = layer(&store, id).unwrap();
    assert_eq!(names(&tar_of(blob)), ["d/", "d/a", "m", "z"]);
    assert_eq!(stats.content_bytes, 6, "one file, three names");
    let again = rebuilt(&store, id, Some(base));
    assert_eq!(
        without_dir_times(exact_listing(&store.view(again).unwrap())),
        without_dir_times(exact_listing(&store.view(id).unwrap()))
    );
}

#[derive(Clone, Debug)]
enum Op {
    Write(String, u8),
    Append(String),
    MakeDir(String),
    Remove(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String, String),
    Chmod(String, u32),
    Chown(String, u32),
}

impl Op {
    /// Does it; what cannot be done is left undone.
    fn run(&self, root: &Path) {
        let at = |path: &String| root.join(path);
        match self {
            Self::Write(path, content) => fs::write(at(path), [*content; 3]).ok(),
            Self::Append(path) => fs::OpenOptions::new()
                .append(true)
                .open(at(path))
                .and_then(|mut file| file.write_all(b"+"))
                .ok(),
            Self::MakeDir(path) => fs::create_dir(at(path)).ok(),
            Self::Remove(path) => match fs::symlink_metadata(at(path)) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(at(path)).ok(),
                Ok(_) => fs::remove_file(at(path)).ok(),
                Err(_) => None,
            },
            Self::Rename(from, to) => {
                let moved = fs::rename(at(from), at(to));
                // What mv does when overlayfs says EXDEV for a directory of a lower layer.
                match moved {
                    Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                        Command::new("mv")
                            .arg(at(from))
                            .arg(at(to))
                            .output()
                            .map(drop)
                            .ok()
                    }
                    other => other.ok(),
                }
            }
            Self::Link(from, to) => fs::hard_link(at(from), at(to)).ok(),
            Self::Symlink(path, target) => std::os::unix::fs::symlink(target, at(path)).ok(),
            Self::Chmod(path, mode) => match fs::symlink_metadata(at(path)) {
                Ok(meta) if !meta.is_symlink() => {
                    fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).ok()
                }
                _ => None,
            },
            Self::Chown(path, id) => std::os::unix::fs::lchown(at(path), Some(*id), Some(*id)).ok(),
        };
    }
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(path, byte)| Op::Write(path, byte)),
        1 => path().prop_map(Op::Append),
        4 => path().prop_map(Op::MakeDir),
        3 => path().prop_map(Op::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Op::Link(from, to)),
        1 => (path(), path()).prop_map(|(path, target)| Op::Symlink(path, target)),
        1 => (path(), prop::sample::select(vec![0o644, 0o4755, 0o700, 0o1777]))
            .prop_map(|(path, mode)| Op::Chmod(path, mode)),
        1 => (path(), 0_u32..3).prop_map(|(path, id)| Op::Chown(path, id)),
    ]
}

/// A directory's time may differ: one in which only the time changed is no change.
fn without_dir_times(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| match line.split_once("/ ") {
            Some((name, rest)) => {
                let kept: Vec<_> = rest
                    .split(' ')
                    .filter(|word| !word.starts_with('t'))
                    .collect();
                format!("{name}/ {}", kept.join(" "))
            }
            None => line,
        })
        .collect()
}

/// Facts of overlayfs, checked as a whole: three layers of random changes through a real mount; the
/// diff of each, applied to what was below, gives the same tree.
fn overlay_history_survives(history: &[Vec<Op>]) -> Result<(), TestCaseError> {
    let (dir, store) = store();
    let base = snapshot(
        &store,
        None,
        &[("a/a/a", "1"), ("a/b", "2"), ("b/c", "3"), ("c", "4")],
    );
    let (mut real, mut copy) = (base, base);
    for ops in history {
        let active = store.prepare(Some(real)).unwrap();
        let mount = dir.path().join("mount");
        let Some(mounted) = Mounted::new(&active, &mount) else {
            println!("skipped: no overlay mount here");
            return Ok(());
        };
        for op in ops {
            op.run(&mount);
        }
        let seen = exact_listing(&crate::View::directory(&mount).unwrap()).len();
        drop(mounted);
        let child = store.commit(active, None).unwrap();
        prop_assert_eq!(seen, exact_listing(&store.view(child).unwrap()).len());
        let (blob, _) = layer(&store, child).unwrap();
        let active = store.prepare(Some(copy)).unwrap();
        apply_layer(Cursor::new(blob), &active.upper().unwrap()).unwrap();
        copy = store.commit(active, None).unwrap();
        real = child;
        prop_assert_eq!(
            without_dir_times(exact_listing(&store.view(copy).unwrap())),
            without_dir_times(exact_listing(&store.view(real).unwrap()))
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn applying_the_diff_of_an_overlay_gives_its_tree(
        history in prop::collection::vec(prop::collection::vec(op(), 1..14), 1..4),
    ) {
        if is_root("overlay mounts") {
            overlay_history_survives(&history)?;
        }
    }
}
