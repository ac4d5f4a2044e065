// SPDX-License-Identifier: Apache-2.0
//! How much memory connections hold that do nothing, or take nothing.
//!
//! `KILN_REGISTRY_CROWD=10000 cargo test -p registry --test server crowd -- --nocapture` prints the
//! figures for so many.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::crash::start_child;
use crate::peer::Request;

/// How many idle connections there are unless told otherwise; a tenth of them read slowly.
const CROWD: usize = 500;
/// What one idle connection may hold.
const IDLE_MAX_KIB: usize = 48;
/// What one answer that nobody takes may hold: a piece, and its way into the socket.
const SLOW_MAX_KIB: usize = 640;

/// Returns the resident memory of a process, in KiB.
fn resident(process: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().split(' ').next().unwrap();
    number.parse().unwrap()
}

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[test]
fn idle_and_slow_clients_hold_little_memory() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the size is for whoever measures"
    )]
    let crowd = std::env::var("KILN_REGISTRY_CROWD").map_or(CROWD, |text| text.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let (mut child, address) = start_child(root.path());
    let bytes = vec![7; 16 << 20];
    let digest = oci::sha256(&bytes);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let pushed = Request::new("POST", &path).body(&bytes).send(address);
    assert_eq!(pushed.unwrap().status, 201);
    let mut report = String::new();
    let empty = resident(child.id());
    writeln!(report, "no connection: {empty} KiB").unwrap();
    let mut idle = Vec::new();
    for _ in 0..crowd {
        let mut stream = ask(address, "/v2/");
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        idle.push(stream);
    }
    let with_idle = resident(child.id());
    writeln!(report, "{crowd} idle: {with_idle} KiB").unwrap();
    let path = format!("/v2/a/blobs/{digest}");
    let slow: Vec<_> = (0..crowd / 10).map(|_| ask(address, &path)).collect();
    // Until everything that fits has been read and written.
    std::thread::sleep(Duration::from_secs(1));
    let with_slow = resident(child.id());
    writeln!(report, "and {} slow readers: {with_slow} KiB", slow.len()).unwrap();
    println!("{report}");
    let alive = Request::new("GET", "/v2/").send(address).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(alive.status, 200);
    // The first requests also start threads and fill pools.
    let base_kib = 8 << 10;
    assert!(
        with_idle < empty + base_kib + crowd * IDLE_MAX_KIB,
        "{report}"
    );
    assert!(
        with_slow < with_idle + base_kib + slow.len() * SLOW_MAX_KIB,
        "{report}"
    );
}
