// SPDX-License-Identifier: Apache-2.0
//! The file of users, read again when it changes.
//!
//! It is looked at when it is needed, at most once a second. A file that cannot be used leaves the
//! former users in force and is reported once.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::htpasswd::{FILE_MAX_BYTES, ReadUsersError, Users};
use crate::server::config::Reporter;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What changes when a file does: device, inode, size, and times in nanoseconds.
type Stamp = (u64, u64, u64, i128, i128);

/// The users of a file, as fresh as a second.
pub(super) struct UserFile {
    path: PathBuf,
    known: Mutex<Known>,
    every: Duration,
    report: Reporter,
}

struct Known {
    users: Arc<Users>,
    /// What the file was when it was last read, usable or not; none if it was not there.
    stamp: Option<Stamp>,
    looked_at: Instant,
}

impl fmt::Debug for UserFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl UserFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// [`ReadUsersError`].
    pub(super) fn open(path: PathBuf, report: Reporter) -> Result<Self, ReadUsersError> {
        let mut file = open(&path)?;
        let stamp = stamp(&file, &path)?;
        let users = Arc::new(read(&mut file, &path)?);
        let known = Known {
            users,
            stamp: Some(stamp),
            looked_at: Instant::now(),
        };
        Ok(Self {
            path,
            known: Mutex::new(known),
            every: LOOK_EVERY,
            report,
        })
    }

    /// Returns the users as they are by now.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<Users> {
        {
            let mut known = self.known.lock().expect("no code panics under this lock");
            if known.looked_at.elapsed() < self.every {
                return Arc::clone(&known.users);
            }
            // One request looks; the others go on with what is known.
            known.looked_at = Instant::now();
        }
        let file = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || file.look()).await;
        let known = self.known.lock().expect("no code panics under this lock");
        looked.unwrap_or_else(|_| Arc::clone(&known.users))
    }

    /// Reads the file if it has changed.
    fn look(&self) -> Arc<Users> {
        let opened = open(&self.path).and_then(|file| {
            // The stamp comes first: a change while reading is seen the next time.
            let stamp = stamp(&file, &self.path)?;
            Ok((file, stamp))
        });
        let now = opened.as_ref().ok().map(|(_, stamp)| *stamp);
        let former = {
            let mut known = self.known.lock().expect("no code panics under this lock");
            if known.stamp == now {
                return Arc::clone(&known.users);
            }
            known.stamp = now;
            Arc::clone(&known.users)
        };
        match opened.and_then(|(mut file, _)| read(&mut file, &self.path)) {
            Ok(users) => {
                let users = Arc::new(users);
                let mut known = self.known.lock().expect("no code panics under this lock");
                known.users = Arc::clone(&users);
                users
            }
            Err(error) => {
                (self.report.0)(&error);
                former
            }
        }
    }
}

/// Reads the file at `path` and forgets it.
pub(super) fn check(path: &Path) -> Result<(), ReadUsersError> {
    read(&mut open(path)?, path).map(drop)
}

fn open(path: &Path) -> Result<File, ReadUsersError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadUsersError::Missing(path.display().to_string().into()),
        _ => unreadable(path)(error),
    })
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> ReadUsersError {
    let path: Box<str> = path.display().to_string().into();
    move |source| ReadUsersError::Unreadable {
        path: path.clone(),
        source,
    }
}

fn stamp(file: &File, path: &Path) -> Result<Stamp, ReadUsersError> {
    let metadata = file.metadata().map_err(unreadable(path))?;
    let time = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    Ok((
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        time(metadata.mtime(), metadata.mtime_nsec()),
        time(metadata.ctime(), metadata.ctime_nsec()),
    ))
}

fn read(file: &mut File, path: &Path) -> Result<Users, ReadUsersError> {
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_MAX_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable(path))?;
    let no_text = || ReadUsersError::NoText(path.display().to_string().into());
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(no_text());
    }
    let text = String::from_utf8(bytes).map_err(|_| no_text())?;
    Users::parse(&text, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        format!("{name}:{}\n", bcrypt::hash("x", 4).unwrap())
    }

    #[tokio::test]
    async fn a_changed_file_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let reported = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&reported);
        let report = Reporter(Arc::new(move |error| {
            heard.lock().unwrap().push(error.to_string());
        }));
        let missing = UserFile::open(path.clone(), report.clone()).unwrap_err();
        assert!(
            missing.to_string().contains("kiln registry htpasswd"),
            "{missing}"
        );

        std::fs::write(&path, line("amy")).unwrap();
        let mut file = UserFile::open(path.clone(), report).unwrap();
        file.every = Duration::from_hours(1);
        let mut file = Arc::new(file);
        assert!(file.current().await.get("amy").is_some());

        std::fs::write(&path, format!("{}{}", line("amy"), line("bob"))).unwrap();
        assert!(
            file.current().await.get("bob").is_none(),
            "not a second later"
        );
        Arc::get_mut(&mut file).unwrap().every = Duration::ZERO;
        assert!(file.current().await.get("bob").is_some(), "a second later");

        std::fs::write(&path, "nonsense").unwrap();
        for _ in 0..3 {
            assert!(file.current().await.get("bob").is_some(), "broken");
        }
        assert_eq!(reported.lock().unwrap().len(), 1, "{reported:?}");
        std::fs::remove_file(&path).unwrap();
        for _ in 0..3 {
            assert!(file.current().await.get("bob").is_some(), "gone");
        }
        assert_eq!(reported.lock().unwrap().len(), 2, "{reported:?}");

        // As editors and orchestrators do it: another file in its place.
        let other = folder.path().join("new");
        std::fs::write(&other, line("eve")).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let now = file.current().await;
        assert!(now.get("eve").is_some() && now.get("bob").is_none());
    }
}
