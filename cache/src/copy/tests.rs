// SPDX-License-Identifier: Apache-2.0
//! COPY and ADD as BuildKit does them; the numbers are those of the facts' rules.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Chmod, CopyError, CopyRequest, CopyStats, copy};
use crate::testing::{is_root, listing, plant};
use crate::{
    Owner, PathFilter, Source, SourceError, SourceOwners, Timestamp, Upper, Verdict, View,
    WriteError,
};

struct Case {
    context: TempDir,
    out: TempDir,
}

impl Case {
    fn new(context: &[(&str, &str)], target: &[(&str, &str)]) -> Self {
        let case = Self {
            context: TempDir::new().unwrap(),
            out: TempDir::new().unwrap(),
        };
        plant(case.context.path(), context);
        plant(case.out.path(), target);
        case
    }

    fn run_filtered(
        &self,
        request: &CopyRequest<'_>,
        filter: Option<&dyn PathFilter>,
    ) -> Result<CopyStats, CopyError> {
        let view = View::directory(self.context.path()).unwrap();
        let source = Source {
            view: &view,
            filter,
            owners: SourceOwners::Root,
        };
        copy(&source, &Upper::plain(self.out.path()).unwrap(), request)
    }

    fn run(&self, request: &CopyRequest<'_>) -> Result<CopyStats, CopyError> {
        self.run_filtered(request, None)
    }

    fn copy(&self, source: &str, dest: &str) -> Result<CopyStats, CopyError> {
        self.run(&CopyRequest::new(Path::new(source), dest))
    }

    fn listing(&self) -> Vec<String> {
        listing(&View::directory(self.out.path()).unwrap())
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.out.path().join(path))
            .unwrap()
            .mode()
            & 0o7777
    }
}

const CONTEXT: &[(&str, &str)] = &[
    ("a.txt", "A"),
    ("b.txt", "B"),
    ("dir/x", "X"),
    ("dir/sub/y", "Y"),
    ("dir/.hidden", "H"),
    ("to-dir", "-> dir"),
    ("to-a", "-> /a.txt"),
    ("dir/link", "-> x"),
    ("out", "-> ../../../../etc/hostname"),
];

#[expect(clippy::too_many_lines, reason = "a table of rules")]
#[test]
fn destinations() {
    for (rule, source, dest, target, expected) in [
        (
            "31 a directory gives its contents",
            "dir",
            "/d",
            &[][..],
            &[
                "d/",
                "d/.hidden=H",
                "d/link -> x",
                "d/sub/",
                "d/sub/y=Y",
                "d/x=X",
            ][..],
        ),
        (
            "32 a slash means a directory",
            "a.txt",
            "/d/",
            &[],
            &["d/", "d/a.txt=A"],
        ),
        (
            "32 an existing directory is one",
            "a.txt",
            "/d",
            &[("d/", "")],
            &["d/", "d/a.txt=A"],
        ),
        (
            "32 else it is the file's name",
            "a.txt",
            "/d/e",
            &[],
            &["d/", "d/e=A"],
        ),
        (
            "35 the context is the root",
            "../../a.txt",
            "/x",
            &[],
            &["x=A"],
        ),
        (
            "36 a dot at the end means a directory",
            "a.txt",
            "/d/.",
            &[],
            &["d/", "d/a.txt=A"],
        ),
        (
            "40 symlinks in the target stay inside",
            "a.txt",
            "/l/x",
            &[("l", "-> /real"), ("real/", "")],
            &["l -> /real", "real/", "real/x=A"],
        ),
        (
            "40 also absolute and dangling ones",
            "a.txt",
            "/l",
            &[("l", "-> ../../new")],
            &["l -> ../../new", "new=A"],
        ),
        (
            "41 a named symlink to a directory is followed",
            "to-dir",
            "/d/",
            &[],
            &[
                "d/",
                "d/.hidden=H",
                "d/link -> x",
                "d/sub/",
                "d/sub/y=Y",
                "d/x=X",
            ],
        ),
        (
            "41 a named symlink to a file is followed",
            "to-a",
            "/d/",
            &[],
            &["d/", "d/to-a=A"],
        ),
        (
            "wildcards",
            "*.txt",
            "/d/",
            &[],
            &["d/", "d/a.txt=A", "d/b.txt=B"],
        ),
        (
            "wildcards match hidden files too",
            "dir/?h*",
            "/d/",
            &[],
            &["d/", "d/.hidden=H"],
        ),
        (
            "34 a wildcard may match nothing",
            "nomatch*",
            "/d/",
            &[],
            &[],
        ),
        (
            "a file replaces a file",
            "a.txt",
            "/f",
            &[("f", "old")],
            &["f=A"],
        ),
    ] {
        let case = Case::new(CONTEXT, target);
        case.copy(source, dest)
            .unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(case.listing(), expected, "{rule}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let case = Case::new(CONTEXT, &[("file", "f"), ("dir/sub/", "")]);
    let error = case.copy("nope/x", "/").unwrap_err();
    assert_eq!(error.to_string(), "\"/nope/x\": not found");
    let error = case.copy("out", "/").unwrap_err();
    assert!(
        matches!(error, CopyError::Source(SourceError::NotFound(_))),
        "{error}"
    );
    let error = case.copy("dir", "/file").unwrap_err();
    assert_eq!(error.to_string(), "cannot copy to non-directory /file");
    let error = case.copy("a.txt", "/file/x").unwrap_err();
    assert_eq!(error.to_string(), "cannot copy to non-directory /file");
    let case = Case::new(CONTEXT, &[("a.txt/", "")]);
    let error = case.copy("a.txt", "/").unwrap_err();
    assert!(
        matches!(error, CopyError::Write(WriteError::IsADirectory(_))),
        "{error}"
    );
    let mut replacing = CopyRequest::new(Path::new("a.txt"), "/");
    replacing.replace_existing = true;
    case.run(&replacing).unwrap();
    assert_eq!(case.listing(), ["a.txt=A"]);
    let mut strict = CopyRequest::new(Path::new("z*"), "/");
    strict.allow_empty_wildcard = false;
    assert!(case.run(&strict).is_err());
    let mut no_parent = CopyRequest::new(Path::new("a.txt"), "/no/parent");
    no_parent.create_dest_path = false;
    assert!(matches!(
        case.run(&no_parent),
        Err(CopyError::NoDestination(_))
    ));
}

#[test]
fn modes_and_owners() {
    if !is_root("owners") {
        return;
    }
    // 37, 38, 50, 51 and their correction.
    let case = Case::new(CONTEXT, &[("old/sub/", "")]);
    let context = case.context.path();
    fs::set_permissions(context.join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(context.join("dir/sub"), fs::Permissions::from_mode(0o710)).unwrap();
    std::os::unix::fs::chown(context.join("a.txt"), Some(1234), Some(1234)).unwrap();
    fs::set_permissions(
        case.out.path().join("old"),
        fs::Permissions::from_mode(0o711),
    )
    .unwrap();
    let stamp = Timestamp::from_secs(1_000_000);
    let dir = fs::File::open(context.join("dir")).unwrap();
    crate::file::set_times(&dir, stamp).unwrap();
    case.copy("dir", "/new/deep").unwrap();
    assert_eq!((case.mode("new"), case.mode("new/deep")), (0o755, 0o755));
    assert_eq!(case.mode("new/deep/sub"), 0o710);
    case.copy("dir", "/old").unwrap();
    assert_eq!((case.mode("old"), case.mode("old/sub")), (0o711, 0o710));
    assert_eq!(
        fs::metadata(case.out.path().join("old")).unwrap().mtime(),
        stamp.secs
    );
    case.copy("a.txt", "/a").unwrap();
    assert_eq!(
        fs::metadata(case.out.path().join("a")).unwrap().uid(),
        0,
        "50"
    );
    let octal: Chmod = "1777".parse().unwrap();
    let mut request = CopyRequest::new(Path::new("dir"), "/p/q");
    request.chmod = Some(&octal);
    request.owner = Some(Owner { uid: 5, gid: 6 });
    case.run(&request).unwrap();
    assert_eq!(
        ["p", "p/q", "p/q/sub", "p/q/x"].map(|path| case.mode(path)),
        [0o777, 0o777, 0o1777, 0o1777]
    );
    for path in ["p", "p/q/sub", "p/q/link"] {
        let meta = fs::symlink_metadata(case.out.path().join(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (5, 6), "{path}");
    }
}

#[test]
fn special_files() {
    if !is_root("devices") {
        return;
    }
    // 42, 43, 45 and its correction.
    let case = Case::new(&[("d/one", "linked")], &[]);
    let d = case.context.path().join("d");
    fs::hard_link(d.join("one"), d.join("two")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(d.join("socket")).unwrap());
    for (name, kind, rdev) in [
        ("fifo", rustix::fs::FileType::Fifo, 0),
        (
            "null",
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::makedev(1, 3),
        ),
        (
            "block",
            rustix::fs::FileType::BlockDevice,
            rustix::fs::makedev(7, 0),
        ),
    ] {
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, d.join(name), kind, mode, rdev).unwrap();
    }
    let sparse = fs::File::create(d.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 8 << 20).unwrap();
    let user = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(d.join("one"), "user.note", b"kept", user).unwrap();
    case.copy("d", "/d").unwrap();
    let out = case.out.path().join("d");
    let meta = |name: &str| fs::symlink_metadata(out.join(name)).unwrap();
    assert_eq!(meta("one").ino(), meta("two").ino());
    assert!(meta("socket").is_file() && meta("socket").len() == 0);
    assert!(meta("fifo").file_type().is_fifo());
    assert!(meta("null").file_type().is_char_device() && meta("null").rdev() == 0x103);
    assert!(meta("block").file_type().is_block_device());
    assert_eq!(
        fs::read(out.join("sparse")).unwrap(),
        fs::read(d.join("sparse")).unwrap()
    );
    assert!(meta("sparse").blocks() < 100, "holes stay holes");
    let mut note = Vec::with_capacity(10);
    let space = rustix::buffer::spare_capacity(&mut note);
    rustix::fs::getxattr(out.join("two"), "user.note", space).unwrap();
    assert_eq!(note, b"kept");
}

#[test]
fn filters_decide_what_exists() {
    let case = Case::new(CONTEXT, &[]);
    let ignore = |path: &Path, is_dir: bool| match path.to_str() {
        Some("dir") => Verdict::Look,
        Some("dir/sub" | "dir/sub/y") => Verdict::Take,
        Some(path) if path.starts_with("dir/") => Verdict::Skip,
        Some("a.txt") => Verdict::Skip,
        _ if is_dir => Verdict::Take,
        _ => Verdict::Take,
    };
    let root = CopyRequest::new(Path::new("."), "/");
    case.run_filtered(&root, Some(&ignore)).unwrap();
    assert_eq!(
        case.listing(),
        [
            "b.txt=B",
            "dir/",
            "dir/sub/",
            "dir/sub/y=Y",
            "out -> ../../../../etc/hostname",
            "to-a -> /a.txt",
            "to-dir -> dir"
        ]
    );
    let literal = CopyRequest::new(Path::new("a.txt"), "/");
    assert!(
        case.run_filtered(&literal, Some(&ignore)).is_err(),
        "an ignored source"
    );
    let link = CopyRequest::new(Path::new("to-a"), "/");
    assert!(
        case.run_filtered(&link, Some(&ignore)).is_err(),
        "a link to an ignored file"
    );
    // --exclude is about paths below the source, and makes no empty directories for includes.
    let case = Case::new(CONTEXT, &[]);
    let only_y = |path: &Path, is_dir: bool| match path.file_name().and_then(|name| name.to_str()) {
        Some("y") => Verdict::Take,
        _ if is_dir => Verdict::Look,
        _ => Verdict::Skip,
    };
    let mut request = CopyRequest::new(Path::new("/"), "/");
    request.filter = Some(&only_y);
    case.run(&request).unwrap();
    assert_eq!(case.listing(), ["dir/", "dir/sub/", "dir/sub/y=Y"]);
    let required = [Path::new("dir/none").to_owned()];
    request.required = &required;
    assert!(case.run(&request).is_err());
}

#[test]
fn add_unpacks_archives_and_copies_the_rest() {
    // 55 to 58.
    let case = Case::new(CONTEXT, &[]);
    let tar = Command::new("tar")
        .args(["-czf", "b.txt", "dir"])
        .current_dir(case.context.path())
        .status()
        .unwrap();
    assert!(tar.success());
    let mut request = CopyRequest::new(Path::new("*.txt"), "/out/");
    request.unpack_archives = true;
    request.owner = Some(Owner { uid: 0, gid: 0 });
    case.run(&request).unwrap();
    assert_eq!(
        case.listing(),
        [
            "out/",
            "out/a.txt=A",
            "out/dir/",
            "out/dir/.hidden=H",
            "out/dir/link -> x",
            "out/dir/sub/",
            "out/dir/sub/y=Y",
            "out/dir/x=X"
        ]
    );
}

#[test]
fn everything_of_a_large_tree_arrives() {
    let case = Case::new(&[], &[]);
    for dir in 0..30 {
        let path = case.context.path().join(format!("d{dir}/e/f"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..50 {
            fs::write(path.join(format!("{file}")), format!("{dir}/{file}")).unwrap();
        }
    }
    fs::write(case.context.path().join("big"), vec![7; 3 << 20]).unwrap();
    let stats = case.copy(".", "/all").unwrap();
    assert_eq!(stats.files, 1501);
    let copied = listing(&View::directory(&case.out.path().join("all")).unwrap());
    assert_eq!(
        copied,
        listing(&View::directory(case.context.path()).unwrap())
    );
}
