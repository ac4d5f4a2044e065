// SPDX-License-Identifier: Apache-2.0
//! A narrow line to a server: each connection brings so many bytes a second and no more.
//!
//! Does not know what is sent. Counts what came through, whether the client took it or not.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 64 << 10;

/// A running proxy; its threads end with the test process.
#[derive(Debug)]
pub struct NarrowLine {
    address: String,
    passed_bytes: Arc<AtomicU64>,
}

impl NarrowLine {
    /// Starts a way to `server` of `bytes_per_second` a connection towards the client.
    pub fn start(server: &str, bytes_per_second: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let passed_bytes = Arc::new(AtomicU64::new(0));
        let (server, passed) = (server.to_owned(), Arc::clone(&passed_bytes));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, passed) = (server.clone(), Arc::clone(&passed));
                // Either end may break off; that is no failure of the line.
                thread::spawn(move || drop(join(&client, &server, bytes_per_second, &passed)));
            }
        });
        Self {
            address: address.to_string(),
            passed_bytes,
        }
    }

    /// Returns the name of `image` at this end of the line.
    pub fn image(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns how many bytes came through towards clients.
    pub fn passed_bytes(&self) -> u64 {
        self.passed_bytes.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes have come through.
    pub fn wait_for_bytes(&self, bytes: u64, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.passed_bytes() < bytes {
            let passed = self.passed_bytes();
            assert!(Instant::now() < deadline, "{passed} of {bytes} bytes came");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn join(client: &TcpStream, server: &str, rate: u64, passed: &AtomicU64) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        // The end of the requests is the end of the connection.
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    let done = pass(&server, client, rate, passed);
    drop(server.shutdown(Shutdown::Both));
    drop(client.shutdown(Shutdown::Both));
    done
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, rate: u64, passed: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        to.write_all(&buffer[..count])?;
        passed.fetch_add(count as u64, Ordering::Relaxed);
        let takes = Duration::from_nanos(count as u64 * 1_000_000_000 / rate);
        thread::sleep(takes.saturating_sub(begun.elapsed()));
    }
}
