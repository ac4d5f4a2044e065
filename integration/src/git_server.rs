// SPDX-License-Identifier: Apache-2.0
//! A web server with git repositories, and what clients asked of it.
//!
//! Below `/` it speaks git's protocol through `git http-backend`; below `/files/` it hands out the
//! files of the repositories and nothing else, as a plain web server does; below `/private/` it is
//! as below `/`, but only for those who know [`TOKEN`].

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::{Program, setting};

/// The token that opens `/private/`.
pub const TOKEN: &str = "correct-horse-battery";
/// `Authorization` of [`TOKEN`], as `x-access-token:TOKEN` in Base64.
const AUTHORIZATION: &str = "basic eC1hY2Nlc3MtdG9rZW46Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5";
/// Most header lines of a request.
const HEADERS_MAX: usize = 100;
/// Largest body of a request.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Repositories behind a port of loopback.
#[derive(Debug)]
pub struct GitServer {
    address: String,
    home: PathBuf,
    fetches: Arc<Mutex<usize>>,
}

impl GitServer {
    /// Serves the directory `home` until the process ends.
    pub fn start(home: PathBuf) -> Self {
        fs::create_dir_all(&home).expect("the directory can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let fetches = Arc::new(Mutex::new(0));
        let server = Self {
            address: address.to_string(),
            home: home.clone(),
            fetches: Arc::clone(&fetches),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (home, fetches) = (home.clone(), Arc::clone(&fetches));
                thread::spawn(move || {
                    // The client is gone: what it says about that is what the test looks at.
                    drop(serve(&stream, &home, &fetches));
                });
            }
        });
        server
    }

    /// Returns host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns how often somebody fetched objects by git's protocol.
    pub fn fetches(&self) -> usize {
        *self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the directory of repository `name`, made if missing.
    pub fn repository(&self, name: &str) -> PathBuf {
        let directory = self.home.join(name);
        if !directory.exists() {
            fs::create_dir(&directory).expect("the directory can be made");
            self.git(name, &["init", "-q", "-b", "main"]);
        }
        directory
    }

    /// Writes a file of repository `name`.
    pub fn write(&self, name: &str, file: &str, content: &str) {
        let path = self.repository(name).join(file);
        let parent = path.parent().expect("a file has a parent");
        fs::create_dir_all(parent).expect("parents can be made");
        fs::write(&path, content).expect("the file can be written");
    }

    /// Commits everything in repository `name`, and returns the id of the commit.
    pub fn commit(&self, name: &str) -> String {
        self.git(name, &["add", "-A"]);
        self.git(name, &["commit", "-q", "-m", "a commit"]);
        self.git(name, &["update-server-info"]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    /// Runs git in repository `name`, and returns its line. Everything has the same time.
    pub fn git(&self, name: &str, arguments: &[&str]) -> String {
        let person = [
            ("NAME", "A"),
            ("EMAIL", "a@b.example"),
            ("DATE", "1700000000 +0000"),
        ];
        let mut git = Program::new("git")
            .env("PATH", setting::search_path())
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.home.join(name));
        for role in ["AUTHOR", "COMMITTER"] {
            for (what, value) in person {
                git = git.env(format!("GIT_{role}_{what}"), value);
            }
        }
        git.args(arguments).ok().line().to_owned()
    }
}

/// What a client asks.
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        for _ in 0..HEADERS_MAX {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            let header = (name.to_lowercase(), value.to_owned());
            request.headers.push(header);
        }
        let length: u64 = request.header("content-length").parse().unwrap_or(0);
        reader
            .take(length.min(BODY_BYTES_MAX))
            .read_to_end(&mut request.body)?;
        Ok(request)
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

fn serve(mut stream: &TcpStream, home: &Path, fetches: &Mutex<usize>) -> io::Result<()> {
    let request = Request::read(stream)?;
    if let Some(file) = request.path.strip_prefix("/files/") {
        let content = fs::read(home.join(file));
        return match content {
            Ok(content) => answer(stream, "200 OK", &[], &content),
            Err(_) => answer(stream, "404 Not Found", &[], b""),
        };
    }
    let path = match request.path.strip_prefix("/private") {
        Some(_) if request.header("authorization") != AUTHORIZATION => {
            let challenge = ["WWW-Authenticate: Basic realm=\"test\""];
            return answer(stream, "401 Unauthorized", &challenge, b"");
        }
        Some(path) => path,
        None => &request.path,
    };
    if request
        .body
        .windows(13)
        .any(|part| part == b"command=fetch")
    {
        *fetches.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
    let output = backend(&request, path, home)?;
    let end = output.windows(4).position(|part| part == b"\r\n\r\n");
    let (head, body) = output.split_at(end.map_or(0, |at| at + 4));
    let head = String::from_utf8_lossy(head);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let headers: Vec<&str> = head
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("Status: "))
        .collect();
    answer(&mut stream, status.unwrap_or("200 OK"), &headers, body)
}

fn answer(mut to: impl Write, status: &str, headers: &[&str], body: &[u8]) -> io::Result<()> {
    let mut head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        write!(head, "{header}\r\n").expect("a string takes all text");
    }
    head.push_str("\r\n");
    to.write_all(head.as_bytes())?;
    to.write_all(body)
}

/// Docs: git-http-backend(1). Spec: RFC 3875.
fn backend(request: &Request, path: &str, home: &Path) -> io::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", setting::search_path())
        .env("HOME", home)
        .env("GIT_PROJECT_ROOT", home)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&request.body)?;
    }
    Ok(child.wait_with_output()?.stdout)
}
