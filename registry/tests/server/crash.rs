// SPDX-License-Identifier: Apache-2.0
//! `kill -9` at random moments: what was acknowledged is there afterwards, nothing half-written is.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oci::{Digest, sha256};

use crate::peer::{MANIFEST, Request, Server, config, manifest};

/// How often the server is killed.
const KILLS: u64 = 12;
/// Under this name the test binary finds the directory it is to serve.
const ROOT: &str = "KILN_REGISTRY_CRASH_ROOT";

/// Serves the directory in the environment until it is killed. As a test of its own it does
/// nothing.
#[test]
fn child_that_serves() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent test speaks through it"
    )]
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let root = Path::new(&root);
    let server = Server::on(config(root));
    let written = root.join("address.new");
    fs::write(&written, server.address.to_string()).unwrap();
    fs::rename(written, root.join("address")).unwrap();
    loop {
        std::thread::park();
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "the caller kills and waits; a panic ends the test"
)]
pub(crate) fn start_child(root: &Path) -> (Child, SocketAddr) {
    fs::remove_file(root.join("address")).unwrap_or_default();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_serves", "--exact"])
        .env(ROOT, root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..2000 {
        if let Ok(text) = fs::read_to_string(root.join("address")) {
            let address: SocketAddr = text.parse().unwrap();
            if Request::new("GET", "/v2/").send(address).is_ok() {
                return (child, address);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the server does not start");
}

/// What the clients were promised.
#[derive(Default)]
struct Promises {
    blobs: Mutex<Vec<(Digest, Vec<u8>)>>,
    manifests: Mutex<Vec<(String, Vec<u8>)>>,
    sessions: Mutex<Vec<(String, u64)>>,
}

/// Pushes until the server is gone.
fn push(address: SocketAddr, seed: &AtomicU64, stop: &AtomicBool, promises: &Promises) {
    while !stop.load(Ordering::Relaxed) {
        if push_one(address, seed.fetch_add(1, Ordering::Relaxed), promises).is_none() {
            return;
        }
    }
}

fn push_one(address: SocketAddr, number: u64, promises: &Promises) -> Option<()> {
    let size = [40, 5_000, 300_000][usize::try_from(number % 3).unwrap()];
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let digest = sha256(&bytes);
    let ok = |request: &Request, status: u16| {
        request
            .send(address)
            .ok()
            .filter(|answer| answer.status == status)
    };
    let start = Request::new("POST", "/v2/a/blobs/uploads/").header("content-length", "0");
    let location = ok(&start, 202)?.header("location")?.to_owned();
    let (first, rest) = bytes.split_at(size / 2);
    if number.is_multiple_of(2) {
        ok(&Request::new("PATCH", &location).stream(first), 202)?;
        let mut sessions = promises.sessions.lock().unwrap();
        sessions.push((location.clone(), first.len() as u64));
    }
    let last = if number.is_multiple_of(2) {
        rest
    } else {
        &bytes[..]
    };
    let close = format!("{location}?digest={digest}");
    let put = ok(&Request::new("PUT", &close).body(last), 201);
    // Whether or not the answer came, the session may have ended.
    promises
        .sessions
        .lock()
        .unwrap()
        .retain(|(open, _)| *open != location);
    put?;
    promises.blobs.lock().unwrap().push((digest.clone(), bytes));
    let text = manifest(&digest, &[], "").into_bytes();
    let tag = format!("t{number}");
    let path = format!("/v2/a/manifests/{tag}");
    let put = Request::new("PUT", &path).body(&text);
    ok(&put.header("content-type", MANIFEST), 201)?;
    promises.manifests.lock().unwrap().push((tag, text));
    Some(())
}

fn verify(address: SocketAddr, promises: &Promises) {
    let get = |path: &str| Request::new("GET", path).send(address).unwrap();
    for (digest, bytes) in &*promises.blobs.lock().unwrap() {
        let answer = get(&format!("/v2/a/blobs/{digest}"));
        assert!(
            answer.status == 200 && answer.body == *bytes,
            "{digest}: {}",
            answer.status
        );
    }
    for (tag, text) in &*promises.manifests.lock().unwrap() {
        let answer = get(&format!("/v2/a/manifests/{tag}"));
        assert!(
            answer.status == 200 && answer.body == *text,
            "{tag}: {}",
            answer.status
        );
    }
    for (location, offset) in &*promises.sessions.lock().unwrap() {
        let answer = get(location);
        assert_eq!(answer.status, 204, "{location}");
        let range = format!("0-{}", offset - 1);
        assert_eq!(answer.header("range"), Some(&*range), "{location}");
    }
}

/// Every file under `blobs/` has the digest of its name, and no temporary file is left.
fn verify_files(root: &Path) {
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    for shard in fs::read_dir(root.join("blobs/sha256")).unwrap() {
        for file in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let digest = sha256(&fs::read(&path).unwrap());
            assert_eq!(path.file_name().unwrap().to_str(), Some(digest.hex()));
        }
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let promises = Promises::default();
    let seed = AtomicU64::new(0);
    for round in 0..KILLS {
        let (mut child, address) = start_child(root.path());
        verify(address, &promises);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| push(address, &seed, &stop, &promises));
            }
            // Moments that differ from round to round, without a source of randomness.
            std::thread::sleep(Duration::from_millis(60 + round * 37 % 250));
            child.kill().unwrap();
            child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let (mut child, address) = start_child(root.path());
    verify(address, &promises);
    assert!(
        promises.blobs.lock().unwrap().len() > 5,
        "the test did something"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    verify_files(root.path());
}
