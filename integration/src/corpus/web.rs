// SPDX-License-Identifier: Apache-2.0
//! The web of the cases: `http://files.test/NAME`, served on a loopback port.
//!
//! A `-- @http NAME --` section is a file; the attribute `dated` gives it a `Last-Modified`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::case::Case;
use super::context::content;

/// The host that cases name.
const HOST: &str = "files.test";

/// 2001-09-09T01:46:40Z, as all files of contexts.
const LAST_MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// A file, and whether it has a date.
type WebFile = (Vec<u8>, bool);

/// The files of all cases, served until the process ends.
#[derive(Debug)]
pub struct Web {
    address: String,
}

impl Web {
    /// Serves the `@http` sections of `cases`.
    pub fn serve(cases: &[Case], directory: &std::path::Path) -> Self {
        let sections = cases.iter().flat_map(|case| &case.files);
        let files: BTreeMap<String, WebFile> = sections
            .filter_map(|section| Some((section.name.strip_prefix("@http ")?, section)))
            .map(|(name, section)| {
                let bytes = content(section, &directory.join("packed"), &str::to_owned);
                (
                    format!("/{name}"),
                    (bytes, section.attribute("dated").is_some()),
                )
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let files = Arc::new(files);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = Arc::clone(&files);
                // A client that goes away is none of our business.
                thread::spawn(move || drop(answer(stream, &files)));
            }
        });
        Self { address }
    }

    /// Returns `text` with the host of the cases replaced by the address that serves it.
    pub(super) fn real(&self, text: &str) -> String {
        text.replace(HOST, &self.address)
    }

    /// Returns `text` with the address replaced by the host of the cases.
    pub(super) fn shown(&self, text: &str) -> String {
        text.replace(&self.address, HOST)
    }
}

fn answer(stream: TcpStream, files: &BTreeMap<String, WebFile>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = path.split('?').next().unwrap_or_default();
    let mut stream = stream;
    let Some((bytes, is_dated)) = files.get(path) else {
        let text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(text.as_bytes());
    };
    let mut head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n",
        bytes.len()
    );
    if *is_dated {
        head.extend(["Last-Modified: ", LAST_MODIFIED, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if method == "GET" {
        stream.write_all(bytes)?;
    }
    Ok(())
}
