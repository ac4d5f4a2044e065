// SPDX-License-Identifier: Apache-2.0
//! A registry that lies: it gives what a test tells it to, true or not.
//!
//! Knows nothing of the distribution API: a table of paths and answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The media type.
    pub media_type: &'static str,
    /// The bytes that are sent.
    pub body: Vec<u8>,
    /// The length that is announced; a greater one than sent makes a broken connection.
    pub announced_bytes: usize,
    /// `Docker-Content-Digest`, if it is sent.
    pub digest: Option<String>,
}

impl Answer {
    /// Returns an honest answer.
    pub fn honest(media_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            media_type,
            announced_bytes: body.len(),
            body,
            digest: None,
        }
    }
}

/// A running server; its thread ends with the test process.
#[derive(Debug)]
pub struct LyingRegistry {
    address: String,
}

impl LyingRegistry {
    /// Starts a server with a table of paths below `/v2/`; other paths are not found.
    pub fn start(table: BTreeMap<String, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("the listener is bound")
            .to_string();
        let table = Arc::new(table);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let table = Arc::clone(&table);
                // A client that breaks off is no failure of the server.
                thread::spawn(move || drop(serve(&stream, &table)));
            }
        });
        Self { address }
    }

    /// Returns the name of `image` in this registry.
    pub fn image(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }
}

fn serve(mut stream: &TcpStream, table: &BTreeMap<String, Answer>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut words = request.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let root = Answer::honest("application/json", b"{}".to_vec());
    let answer = match path.strip_prefix("/v2/").unwrap_or("") {
        "" => Some(&root),
        path => table.get(path),
    };
    let mut head = Vec::new();
    match answer {
        None => write!(head, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n")?,
        Some(answer) => write!(
            head,
            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            answer.media_type, answer.announced_bytes
        )?,
    }
    if let Some(digest) = answer.and_then(|answer| answer.digest.as_ref()) {
        write!(head, "Docker-Content-Digest: {digest}\r\n")?;
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    stream.write_all(&head)?;
    let body = answer.map_or(&[] as &[u8], |answer| &answer.body);
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.shutdown(Shutdown::Both)
}
