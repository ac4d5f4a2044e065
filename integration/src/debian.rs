// SPDX-License-Identifier: Apache-2.0
//! A root file system of Debian, made by debootstrap from the mirror that this machine uses.
//!
//! The mirror's name is read from apt's configuration at run time, so that the image reaches the
//! same one. The archive is kept between runs: making it takes half a minute.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::peers::debian_program;
use crate::{Program, setting};

/// How long debootstrap may take on a slow mirror.
const DEBOOTSTRAP_TIMEOUT: Duration = Duration::from_mins(10);

/// Tests run side by side and must not make the same archive twice.
static MAKING: Mutex<()> = Mutex::new(());

/// Returns an archive with the smallest Debian that has a working apt.
pub fn debian_rootfs() -> PathBuf {
    let guard = MAKING.lock();
    let release = fs::read_to_string("/etc/os-release").expect("Debian has /etc/os-release");
    let suite = value_of(&release, "VERSION_CODENAME=").expect("a Debian release has a code name");
    let cache = setting::cache_dir();
    let archive = cache.join(format!("{suite}.tar"));
    if !archive.is_file() {
        fs::create_dir_all(&cache).expect("the cache directory can be made");
        make(&suite, &cache, &archive);
    }
    drop(guard);
    archive
}

fn make(suite: &str, cache: &Path, archive: &Path) {
    let mirror = mirror().expect("apt has a source with a URI");
    let directory = tempfile::tempdir_in(cache).expect("the cache directory is writable");
    let rootfs = directory.path().join("rootfs");
    let debootstrap = debian_program("debootstrap")
        .args(["--variant=minbase", suite])
        .arg(&rootfs)
        .arg(&mirror);
    drop(debootstrap.timeout(DEBOOTSTRAP_TIMEOUT).ok());
    let write = |name: &str, text: String| {
        fs::write(rootfs.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    write(
        "etc/apt/sources.list",
        format!("deb {mirror} {suite} main\n"),
    );
    write("etc/apt/apt.conf.d/99host", apt_options());
    for stale in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        drop(fs::remove_dir_all(rootfs.join(stale)));
        fs::create_dir_all(rootfs.join(stale).join("partial")).expect("the directory is ours");
    }
    // Renamed when whole, so that a run that was broken off leaves no half archive.
    let unfinished = directory.path().join("archive");
    let tar = debian_program("tar")
        .args(["--numeric-owner", "-C"])
        .arg(&rootfs);
    drop(tar.arg("-cf").arg(&unfinished).arg(".").ok());
    fs::rename(&unfinished, archive).expect("both are in the cache directory");
}

/// Returns the URI of the first source that apt uses.
fn mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let directory = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    let mut parts: Vec<PathBuf> = directory.flatten().map(|entry| entry.path()).collect();
    parts.sort();
    files.extend(parts.into_iter().filter(|path| {
        let extension = path.extension().unwrap_or_default();
        extension == "list" || extension == "sources"
    }));
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        value_of(&text, "URIs:").or_else(|| {
            let line = text.lines().find(|line| line.starts_with("deb "))?;
            let uri = line.split_whitespace().find(|word| word.contains("://"))?;
            Some(uri.to_owned())
        })
    })
}

/// Returns what this machine's apt was told about clocks and proxies, as a configuration file.
fn apt_options() -> String {
    const KEPT: [&str; 3] = ["Acquire::Check-", "Acquire::http", "Acquire::Retries"];
    let dump = Program::new("/usr/bin/apt-config").arg("dump").ok();
    let is_kept = |line: &&str| KEPT.iter().any(|key| line.starts_with(key));
    let kept: Vec<&str> = dump.stdout.lines().filter(is_kept).collect();
    kept.join("\n") + "\n"
}

fn value_of(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace()
        .next()
        .map(|word| word.trim_matches('"').to_owned())
}
