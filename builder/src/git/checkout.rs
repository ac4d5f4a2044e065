// SPDX-License-Identifier: Apache-2.0
//! From a commit in a mirror to the files of a snapshot.
//!
//! The repository that writes them is made anew each time and borrows the objects of the mirror, so
//! that nothing of one checkout (configuration, addresses of submodules) shows in the next. With
//! `--keep-git-dir` it is the `.git` that stays: of depth 1, with the address but no credentials,
//! HEAD on the commit, and the reference that was asked for. `Ours`: without the reflogs, sample
//! hooks and the like that BuildKit's have from git's templates, so that it does not depend on the
//! version of git; the index has no times, so that it does not depend on the clock.
//!
//! Owners, modes and times are settled last. `.git` files of submodules go unless `.git` stays:
//! they name directories of this machine.
//!
//! Observed: BuildKit 73ed6825 `source/git/source.go`, and its trees.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cache::{ActiveSnapshot, FileError, Settlement, Timestamp, settle};

use super::GitError;
use super::command::{Git, Place};
use super::mirror::{Commit, object_format};
use super::resolve::Resolved;

/// The entry that is git's own.
const DOT_GIT: &str = ".git";

/// Where a checkout happens.
struct Site {
    git_dir: PathBuf,
    work_tree: PathBuf,
}

impl Site {
    fn place(&self) -> Place<'_> {
        Place::tree(&self.git_dir, &self.work_tree)
    }
}

/// Writes the files of a commit into `active`.
///
/// # Errors
///
/// [`GitError`]; the snapshot is then of no use.
pub(crate) async fn checkout(
    git: &Git<'_>,
    mirror: &Path,
    (resolved, commit): (&Resolved, &Commit),
    active: &ActiveSnapshot,
) -> Result<(), GitError> {
    let source = git.source();
    let upper = active.upper_dir();
    let site = Site {
        git_dir: if source.keeps_git_dir() {
            upper.join(DOT_GIT)
        } else {
            active.work_dir().join("repo")
        },
        work_tree: if source.subdir.is_empty() {
            upper.to_owned()
        } else {
            active.work_dir().join("tree")
        },
    };
    fs::create_dir_all(&site.work_tree).map_err(|error| write("create", &site.work_tree, error))?;
    init(git, &site, &commit.id).await?;
    if source.keeps_git_dir() {
        own_objects(git, &site, mirror, (resolved, commit)).await?;
    } else {
        borrow_objects(&site, mirror)?;
    }
    let detach = ["checkout", "--progress", "--force", "--detach", &commit.id];
    git.run(site.place(), &detach).await?;
    let has_submodules = source.submodules && submodules(git, &site).await?;
    if source.keeps_git_dir() {
        // Reading a tree makes an index without times and inodes.
        git.run(site.place(), &["read-tree", "HEAD"]).await?;
    }
    if source.keeps_git_dir() && has_submodules {
        let each = [
            "submodule",
            "--quiet",
            "foreach",
            "--recursive",
            "git read-tree HEAD",
        ];
        git.run(site.place(), &each).await?;
    }
    if !source.subdir.is_empty() {
        move_subdir(&source.subdir, &site.work_tree, upper)?;
    }
    settle_tree(git, commit, active)
}

async fn init(git: &Git<'_>, site: &Site, id: &str) -> Result<(), GitError> {
    let arguments = ["init", "--quiet", object_format(id)];
    git.run(site.place(), &arguments).await?;
    let url = git.source().remote.url.as_str();
    // Addresses of submodules may be relative to this one.
    for (key, value) in [
        ("core.logAllRefUpdates", "true"),
        ("remote.origin.url", url),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
    ] {
        git.run(site.place(), &["config", "--local", key, value])
            .await?;
    }
    Ok(())
}

fn borrow_objects(site: &Site, mirror: &Path) -> Result<(), GitError> {
    let info = site.git_dir.join("objects/info");
    fs::create_dir_all(&info).map_err(|error| write("create", &info, error))?;
    let path = info.join("alternates");
    let mut line = mirror.join("objects").into_os_string();
    line.push("\n");
    fs::write(&path, line.as_encoded_bytes()).map_err(|error| write("write", &path, error))
}

async fn own_objects(
    git: &Git<'_>,
    site: &Site,
    mirror: &Path,
    (resolved, commit): (&Resolved, &Commit),
) -> Result<(), GitError> {
    let wanted = match &resolved.reference {
        Some(name) => format!("+{}:{name}", resolved.object),
        None => commit.id.clone(),
    };
    let options = [
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--update-head-ok",
        "--no-write-fetch-head",
        "--",
    ];
    let arguments: Vec<&OsStr> = options
        .iter()
        .map(OsStr::new)
        .chain([mirror.as_os_str(), OsStr::new(&wanted)])
        .collect();
    let place = Place {
        local: true,
        ..site.place()
    };
    git.run(place, &arguments).await.map(drop)
}

/// Tells whether there are any.
async fn submodules(git: &Git<'_>, site: &Site) -> Result<bool, GitError> {
    let list = site.work_tree.join(".gitmodules");
    match fs::symlink_metadata(&list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| write("stat", &list, error))?,
    };
    let update = ["submodule", "update", "--init", "--recursive", "--progress"];
    let shallow: Vec<&str> = update.iter().copied().chain(["--depth=1"]).collect();
    match git.run(site.place(), &shallow).await {
        // Some servers know no depth.
        Err(GitError::Failed { .. }) => git.run(site.place(), &update).await?,
        other => other?,
    };
    Ok(true)
}

/// Moves what is in a subdirectory to where the root of the snapshot is. Nobody else writes there,
/// so that what was looked at is what is moved.
fn move_subdir(components: &[String], tree: &Path, upper: &Path) -> Result<(), GitError> {
    let mut from = tree.to_owned();
    let mut shown = PathBuf::new();
    for component in components {
        from.push(component);
        shown.push(component);
        let meta = match fs::symlink_metadata(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(GitError::NoSubdir(components.join("/")));
            }
            other => other.map_err(|error| write("stat", &from, error))?,
        };
        if !meta.is_dir() {
            return Err(GitError::NotADirectory(shown.display().to_string()));
        }
    }
    let entries = fs::read_dir(&from).map_err(|error| write("list", &from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| write("list", &from, error))?;
        let to = upper.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(|error| write("move to", &to, error))?;
    }
    Ok(())
}

fn settle_tree(git: &Git<'_>, commit: &Commit, active: &ActiveSnapshot) -> Result<(), GitError> {
    let source = git.source();
    let settlement = Settlement {
        mtime: source
            .commit_time
            .then(|| Timestamp::from_secs(commit.time)),
        without: (!source.keeps_git_dir()).then_some(DOT_GIT),
    };
    let upper = active.upper().map_err(|error| {
        let error = io::Error::other(error);
        write("open", active.upper_dir(), error)
    })?;
    settle(&upper, settlement).map_err(GitError::Write)
}

fn write(action: &'static str, path: &Path, error: io::Error) -> GitError {
    GitError::Write(FileError::new(action, path, error))
}
