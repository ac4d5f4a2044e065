// SPDX-License-Identifier: Apache-2.0
//! A web server with files that a test puts there, and a record of who asked for what.
//!
//! Answers GET and HEAD, conditional on `ETag`. Spec: RFC 9110, as far as downloads need it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is at a path.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The content.
    pub body: Vec<u8>,
    /// Headers besides `Content-Length`; with an `ETag` the page is conditional.
    pub headers: Vec<(&'static str, String)>,
    /// The status; 0 is 200.
    pub status: u16,
    /// Headers that a request must have, in lower case, else it gets 401.
    pub wants: Vec<(&'static str, String)>,
}

impl Page {
    /// Returns a page without headers.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A running server; its thread ends with the test process.
#[derive(Debug)]
pub struct WebServer {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    pages: BTreeMap<String, Page>,
    requests: Vec<String>,
}

impl WebServer {
    /// Starts a server on a free port of the loopback interface, without pages.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("the listener is bound")
            .to_string();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // A client that breaks off is no failure of the server.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, shared }
    }

    /// Puts a page at a path like `/a/b`, instead of what was there.
    pub fn put(&self, path: &str, page: Page) {
        lock(&self.shared).pages.insert(path.to_owned(), page);
    }

    /// Returns the address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns host and port.
    pub fn host(&self) -> &str {
        &self.address
    }

    /// Returns the requests since the last call, as `METHOD path`, with ` if` behind conditional
    /// ones.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared).requests)
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: &TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut words = request.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let asked = headers.get("if-none-match");
    let page = {
        let mut shared = lock(shared);
        let condition = if asked.is_some() { " if" } else { "" };
        shared.requests.push(format!("{method} {path}{condition}"));
        shared.pages.get(&path).cloned()
    };
    let page = page.unwrap_or_else(|| Page {
        status: 404,
        ..Page::default()
    });
    let allowed = |(name, value): &(&str, String)| headers.get(*name) == Some(value);
    let known = asked.is_some() && asked.map(String::as_str) == page.get("ETag");
    let status = match page.status {
        _ if !page.wants.iter().all(allowed) => 401,
        0 if known => 304,
        0 => 200,
        status => status,
    };
    let has_body = status != 304 && status != 401;
    let body = if has_body { page.body.as_slice() } else { &[] };
    let mut head = Vec::new();
    write!(head, "HTTP/1.1 {status} -\r\n")?;
    for (name, value) in &page.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    write!(
        head,
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&head)?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.shutdown(Shutdown::Write)
}
