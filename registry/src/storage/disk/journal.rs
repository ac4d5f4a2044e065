// SPDX-License-Identifier: Apache-2.0
//! The journal of names: one line of JSON per change of a tag, a manifest, or a blob of a
//! repository.
//!
//! It exists to rebuild the database from the files under `blobs/` should the database be lost, so
//! it is synced about once a second and not with every commit. Lines are written before the commit
//! they belong to: a line may name a change that was never acknowledged, none is missing that was
//! acknowledged more than a second before a power cut. Everything else that the database holds
//! follows from these lines and the files.
//!
//! ```text
//! journal/base.jsonl        every name there was when it was made
//! journal/names-<n>.jsonl   changes before the last turn; gone once they are in the base
//! journal/names.jsonl       changes since then
//!
//! {"at":1700000000,"key":"l/a/b/@t/latest","value":{"digest":"sha256:…",…}}
//! {"at":1700000001,"key":"l/a/b/@t/latest","value":null}
//! ```
//!
//! When the changes outgrow the base, the file gets a number, a new one begins, and a thread makes
//! the next base from the database as it is after that: it holds at least what the numbered files
//! say. Replaying a line that it holds already changes nothing, because the last line on a key wins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::value::RawValue;

use crate::storage::error::StorageError;
use crate::storage::meta::Write;

/// How often it is synced.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// From which size on a base is made, and again whenever the changes are as large as the last base.
const TURN_FROM_BYTES: u64 = 64 << 20;
/// The longest line that is read back; ours have a few hundred bytes.
const LINE_MAX_BYTES: u64 = 1 << 20;
/// The file that changes are appended to.
const CURRENT: &str = "names.jsonl";
/// The file that says it all.
const BASE: &str = "base.jsonl";
/// The base while it is made.
const NEXT_BASE: &str = "base.jsonl.new";

#[derive(serde::Serialize)]
struct Line<'a> {
    at: u64,
    key: &'a str,
    value: Option<&'a RawValue>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    size_bytes: u64,
    base_bytes: u64,
    unsynced_since: Option<Instant>,
    making: Option<Making>,
}

/// A base that is being made.
#[derive(Debug)]
struct Making {
    thread: JoinHandle<io::Result<()>>,
    is_unwanted: Arc<AtomicBool>,
}

impl Journal {
    /// Opens the journal of the registry at `root`, whose database is there.
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        let folder = root.join("journal");
        let path = folder.join(CURRENT);
        let failed = |source| StorageError::io("open", &path, source);
        let is_new = !path.exists();
        let mut file = append_to(&path).map_err(failed)?;
        let mut size_bytes = file.metadata().map_err(failed)?.len();
        if !ends_a_line(&mut file, size_bytes).map_err(failed)? {
            // A power cut took the end of the last line; the next one must not suffer.
            file.write_all(b"\n").map_err(failed)?;
            size_bytes += 1;
        }
        let base = fs::metadata(folder.join(BASE));
        let mut journal = Self {
            file,
            size_bytes,
            base_bytes: base.map_or(0, |base| base.len()),
            folder,
            unsynced_since: None,
            making: None,
        };
        let sealed = sealed(&journal.folder).map_err(failed)?;
        let is_unknown = is_new && has_names(&root.join("meta.db")).unwrap_or(true);
        if !sealed.is_empty() || is_unknown {
            journal.make_base(sealed);
        }
        Ok(journal)
    }

    /// Appends the lines of the steps that are about names.
    pub(super) fn append<'a>(
        &mut self,
        at: u64,
        steps: impl Iterator<Item = &'a Write>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        for step in steps {
            let (key, value) = match step {
                Write::Put(key, bytes, _) if is_name(key) => (key, header(bytes)),
                Write::Delete(key, _) if is_name(key) => (key, None),
                _ => continue,
            };
            serde_json::to_writer(&mut text, &Line { at, key, value })?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&text) {
            // Half a line would spoil the next one too.
            self.file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += text.len() as u64;
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Returns how long the next sync may wait; none if there is nothing to sync.
    pub(super) fn sync_due(&self) -> Option<Duration> {
        let since = self.unsynced_since?;
        Some(SYNC_EVERY.saturating_sub(since.elapsed()))
    }

    /// Makes all lines durable. Call it between two commits.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.unsynced_since = None;
        self.file.sync_data()?;
        self.turn(TURN_FROM_BYTES.max(self.base_bytes))
    }

    /// Starts a new file if this one has more than `limit` bytes. Everything in it is committed.
    fn turn(&mut self, limit: u64) -> io::Result<()> {
        let is_made = |making: &mut Making| making.thread.is_finished();
        if self.making.take_if(is_made).is_some() {
            let base = fs::metadata(self.folder.join(BASE));
            self.base_bytes = base.map_or(0, |base| base.len());
        }
        if self.size_bytes <= limit || self.making.is_some() {
            return Ok(());
        }
        let before = sealed(&self.folder)?;
        let next = before.last().map_or(1, |(number, _)| number + 1);
        let path = self.folder.join(format!("names-{next:06}.jsonl"));
        let current = self.folder.join(CURRENT);
        fs::rename(&current, &path)?;
        self.file = append_to(&current)?;
        self.size_bytes = 0;
        File::open(&self.folder)?.sync_all()?;
        let sealed = sealed(&self.folder)?;
        self.make_base(sealed);
        Ok(())
    }

    /// Starts to make a base that holds all that is `sealed`. Should it fail, the numbered files
    /// stay, and the next turn or start tries again.
    fn make_base(&mut self, sealed: Vec<(u64, PathBuf)>) {
        let folder = self.folder.clone();
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_unwanted);
        let work = move || make_base(&folder, &sealed, &flag);
        let thread = std::thread::Builder::new().name("registry-journal".into());
        let thread = thread.spawn(work).ok();
        self.making = thread.map(|thread| Making {
            thread,
            is_unwanted,
        });
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(making) = self.making.take() {
            making.is_unwanted.store(true, Ordering::Relaxed);
            drop(making.thread.join());
        }
    }
}

/// A line as it is read back.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Change {
    pub(super) at: u64,
    pub(super) key: String,
    /// None: the name was removed.
    pub(super) value: Option<Box<RawValue>>,
}

/// Hands every change to `apply`, in order. Returns how many lines could not be read.
pub(super) fn replay(
    root: &Path,
    mut apply: impl FnMut(Change) -> Result<(), StorageError>,
) -> Result<u64, StorageError> {
    let folder = root.join("journal");
    let failed = |source| StorageError::io("read", &folder, source);
    let mut files = vec![folder.join(BASE)];
    files.extend(
        sealed(&folder)
            .map_err(failed)?
            .into_iter()
            .map(|one| one.1),
    );
    files.push(folder.join(CURRENT));
    let mut bad = 0;
    for path in files {
        let failed = |source| StorageError::io("read", &path, source);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        let mut lines = io::BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            // `take` of a buffered reader is buffered itself: it loses nothing.
            let mut limited = io::Read::by_ref(&mut lines).take(LINE_MAX_BYTES);
            let read = io::BufRead::read_until(&mut limited, b'\n', &mut line);
            if read.map_err(failed)? == 0 {
                break;
            }
            match serde_json::from_slice::<Change>(&line) {
                Ok(change) if is_name(&change.key) => apply(change)?,
                _ if line.iter().all(u8::is_ascii_whitespace) => {}
                _ => bad += 1,
            }
        }
    }
    Ok(bad)
}

/// Tells whether there is anything to rebuild from.
pub(super) fn is_there(root: &Path) -> bool {
    let has_bytes =
        |name| fs::metadata(root.join("journal").join(name)).is_ok_and(|it| it.len() > 0);
    has_bytes(BASE) || has_bytes(CURRENT)
}

/// Removes a base whose making was cut off.
pub(super) fn sweep(root: &Path) {
    fs::remove_file(root.join("journal").join(NEXT_BASE)).unwrap_or_default();
}

fn make_base(folder: &Path, sealed: &[(u64, PathBuf)], is_unwanted: &AtomicBool) -> io::Result<()> {
    let next = folder.join(NEXT_BASE);
    let database = folder.with_file_name("meta.db");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&next)?);
    write_names(&database, &mut file, is_unwanted).map_err(io::Error::other)?;
    if is_unwanted.load(Ordering::Relaxed) {
        return fs::remove_file(&next);
    }
    file.into_inner()?.sync_all()?;
    fs::rename(&next, folder.join(BASE))?;
    File::open(folder)?.sync_all()?;
    for (_, path) in sealed {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Writes a line for every name in the database, as one moment saw it.
fn write_names(
    database: &Path,
    file: &mut impl io::Write,
    is_unwanted: &AtomicBool,
) -> Result<(), rusqlite::Error> {
    let database = open_to_read(database)?;
    let sql = "SELECT key, value, written_at FROM record WHERE key > 'l/' AND key < 'l0'";
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if is_unwanted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let key = row.get_ref(0)?.as_str()?;
        if !is_name(key) {
            continue;
        }
        let value = header(row.get_ref(1)?.as_blob()?);
        let at = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        let line = serde_json::to_vec(&Line { at, key, value });
        let mut line = line.expect("strings and checked JSON serialize");
        line.push(b'\n');
        let written = file.write_all(&line);
        written.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    }
    Ok(())
}

fn has_names(database: &Path) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM record WHERE key > 'l/' AND key < 'l0')";
    open_to_read(database)?.query_row(sql, [], |row| row.get(0))
}

fn open_to_read(database: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(database, flags)?;
    database.execute_batch("PRAGMA query_only = ON;")?;
    Ok(database)
}

/// Returns the numbered files, in order.
fn sealed(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut sealed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix("names-")?.strip_suffix(".jsonl"));
        if let Some(Ok(number)) = number.map(str::parse) {
            sealed.push((number, path));
        }
    }
    sealed.sort();
    Ok(sealed)
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).open(path)
}

fn ends_a_line(file: &mut File, size_bytes: u64) -> io::Result<bool> {
    if size_bytes == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn is_name(key: &str) -> bool {
    key.contains("/@t/") || key.contains("/@m/") || key.contains("/@b/")
}

/// Returns the JSON of a record: all of a tag's, the first line of a manifest's.
fn header(record: &[u8]) -> Option<&RawValue> {
    let end = record.iter().position(|&byte| byte == b'\n');
    let end = end.unwrap_or(record.len());
    serde_json::from_slice(&record[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_every_name_and_drops_what_was_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("journal");
        fs::create_dir(&folder).unwrap();
        let database = Connection::open(root.path().join("meta.db")).unwrap();
        database.execute_batch(super::super::meta::SCHEMA).unwrap();
        let mut journal = Journal::open(root.path()).unwrap();
        let name = |tag: &str| format!("l/a/@t/{tag}");
        for round in 0..3 {
            let value = format!("{{\"round\":{round}}}");
            let put = Write::Put(
                name("x"),
                value.clone().into(),
                crate::storage::Condition::Any,
            );
            journal.append(round, std::iter::once(&put)).unwrap();
            let sql = "INSERT OR REPLACE INTO record VALUES (?1, ?2, 1, 1)";
            database
                .execute(sql, (name("x"), value.as_bytes()))
                .unwrap();
        }
        journal.turn(0).unwrap();
        let put = Write::Put(name("y"), b"{}".to_vec(), crate::storage::Condition::Any);
        let gone = Write::Delete(name("z"), crate::storage::Condition::Any);
        journal.append(9, [put, gone].iter()).unwrap();
        journal
            .making
            .take()
            .unwrap()
            .thread
            .join()
            .unwrap()
            .unwrap();
        assert!(sealed(&folder).unwrap().is_empty(), "they are in the base");
        drop(journal);
        // A power cut in the middle of a line.
        let mut file = append_to(&folder.join(CURRENT)).unwrap();
        file.write_all(b"{\"at\":10,\"ke").unwrap();
        let mut journal = Journal::open(root.path()).unwrap();
        let put = Write::Put(name("w"), b"{}".to_vec(), crate::storage::Condition::Any);
        journal.append(11, std::iter::once(&put)).unwrap();
        let mut seen = Vec::new();
        let bad = replay(root.path(), |change| {
            let value = change.value.map(|value| value.get().to_owned());
            seen.push((change.key, value));
            Ok(())
        });
        assert_eq!(bad.unwrap(), 1);
        let line = |tag: &str, value: Option<&str>| (name(tag), value.map(str::to_owned));
        let expected = [
            line("x", Some("{\"round\":2}")),
            line("y", Some("{}")),
            line("z", None),
            line("w", Some("{}")),
        ];
        assert_eq!(seen, expected);
    }
}
