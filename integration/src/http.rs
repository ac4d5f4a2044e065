// SPDX-License-Identifier: Apache-2.0
//! A small HTTP/1.1 client on blocking sockets, with kept connections.
//!
//! Tests use it where they need a request that no real client sends, and the peers' bench uses it
//! to load registries: it costs so little that the registry is what is measured.
//!
//! Does not know TLS, redirects or proxies. Spec: RFC 9112.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for one read or write.
const IO_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest line of a header, and most header lines.
const LINE_BYTES_MAX: u64 = 64 << 10;
const HEADERS_MAX: usize = 200;
/// How much of a body goes into one chunk, if it is sent in chunks.
const CHUNK_BYTES: usize = 1000;

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty for HEAD.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request: method, path with query, headers besides `Host` and `Content-Length`, body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, or a URL of the same server as `Location` has it.
    pub target: &'a str,
    /// Headers. `Transfer-Encoding: chunked` sends the body so, without saying its length.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Returns a request without headers or body.
    pub fn new(method: &'a str, target: &'a str) -> Self {
        Self {
            method,
            target,
            headers: &[],
            body: &[],
        }
    }
}

impl Client {
    /// Returns a client of the server at `address`; connects with the first request.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            connection: None,
        }
    }

    /// Sends a GET.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.send(&Request::new("GET", target))
    }

    /// Sends a GET, and returns the status and length of the answer without keeping the body.
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; also an answer without a length.
    pub fn get_length(&mut self, target: &str) -> io::Result<(u16, u64)> {
        let address = self.address.clone();
        let connection = self.connect()?;
        write_head(connection.get_mut(), &address, &Request::new("GET", target))?;
        let (response, keep) = read_response(connection, true)?;
        let length = response
            .header("content-length")
            .and_then(|length| length.parse().ok());
        let length: u64 = length.ok_or(io::ErrorKind::InvalidData)?;
        let read = io::copy(&mut connection.take(length), &mut io::sink())?;
        if !keep || read != length {
            self.connection = None;
        }
        Ok((response.status, read))
    }

    /// Sends a request and reads the answer, on the kept connection if there is one.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, breaks off, or does not speak HTTP/1.1.
    pub fn send(&mut self, request: &Request<'_>) -> io::Result<Response> {
        let kept = self.connection.is_some();
        match self.exchange(request) {
            // A kept connection may have been closed since: that says nothing about the server.
            Err(_) if kept => {
                self.connection = None;
                self.exchange(request)
            }
            answer => answer,
        }
    }

    /// Announces the whole body, sends only its first `bytes`, and closes the connection.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub fn send_part(&mut self, request: &Request<'_>, bytes: usize) -> io::Result<()> {
        let address = self.address.clone();
        let stream = self.connect()?.get_mut();
        let part = request.body.get(..bytes).unwrap_or(request.body);
        let sent = write_head(stream, &address, request).and_then(|()| stream.write_all(part));
        self.connection = None;
        sent
    }

    fn connect(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(&self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(IO_TIMEOUT))?;
            stream.set_write_timeout(Some(IO_TIMEOUT))?;
            self.connection = Some(BufReader::with_capacity(128 << 10, stream));
        }
        self.connection
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn exchange(&mut self, request: &Request<'_>) -> io::Result<Response> {
        let address = self.address.clone();
        let connection = self.connect()?;
        let stream = connection.get_mut();
        write_head(stream, &address, request)?;
        // A server may refuse before it has read the whole body: its answer matters more.
        let written = write_body(stream, request);
        let answer = read_response(connection, request.method == "HEAD");
        let (response, keep) = match (answer, written) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) | (Err(error), Ok(())) => {
                self.connection = None;
                return Err(error);
            }
        };
        if !keep {
            self.connection = None;
        }
        Ok(response)
    }
}

fn write_head(stream: &mut TcpStream, address: &str, request: &Request<'_>) -> io::Result<()> {
    let target = match request.target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => request.target,
    };
    let mut head = Vec::new();
    write!(
        head,
        "{} {target} HTTP/1.1\r\nHost: {address}\r\n",
        request.method
    )?;
    for (name, value) in request.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    let has_body = !request.body.is_empty() || matches!(request.method, "POST" | "PUT" | "PATCH");
    if has_body && !is_chunked(request) {
        write!(head, "Content-Length: {}\r\n", request.body.len())?;
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)
}

fn is_chunked(request: &Request<'_>) -> bool {
    let mut names = request.headers.iter().map(|(name, _)| name);
    names.any(|name| name.eq_ignore_ascii_case("transfer-encoding"))
}

fn write_body(stream: &mut TcpStream, request: &Request<'_>) -> io::Result<()> {
    if !is_chunked(request) {
        return stream.write_all(request.body);
    }
    for chunk in request.body.chunks(CHUNK_BYTES) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// Reads one response, and says whether the connection can be kept.
fn read_response(reader: &mut impl BufRead, is_head: bool) -> io::Result<(Response, bool)> {
    let status_line = read_line(reader)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        if headers.len() > HEADERS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let mut keep = response.header("connection") != Some("close");
    let has_body = !is_head && status != 204 && status != 304 && status >= 200;
    if has_body {
        keep &= read_body(reader, &mut response)?;
    }
    Ok((response, keep))
}

/// Reads a body, and says whether its end was marked.
fn read_body(reader: &mut impl BufRead, response: &mut Response) -> io::Result<bool> {
    if response
        .header("transfer-encoding")
        .is_some_and(|value| value.contains("chunked"))
    {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size > 0 {
                read_exactly(reader, size, &mut response.body)?;
            }
            read_line(reader)?;
            if size == 0 {
                return Ok(true);
            }
        }
    }
    match response.header("content-length").map(str::parse) {
        Some(Ok(size)) => read_exactly(reader, size, &mut response.body).map(|()| true),
        Some(Err(_)) => Err(io::ErrorKind::InvalidData.into()),
        None => reader.read_to_end(&mut response.body).map(|_| false),
    }
}

fn read_exactly(reader: &mut impl BufRead, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let read = reader.take(size).read_to_end(body)?;
    if read as u64 == size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    let read = reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
