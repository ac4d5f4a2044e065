// SPDX-License-Identifier: Apache-2.0
//! A registry of a few lines that can be told to fail, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use oci::{Digest, MediaType, sha256};

/// A request as it arrived; the body is still on the wire when faults are asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// With query.
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// One line of the log: method, path with digests cut short, and the range if any.
    fn line(&self) -> String {
        let mut line = format!("{} {}", self.method, self.path());
        if self.query("mount").is_some() {
            line = format!("{line} mount");
        }
        for name in ["range", "content-range"] {
            if let Some(range) = self.headers.get(name) {
                line = format!("{line} {range}");
            }
        }
        line
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, format!("{value}")));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"as told"}}]}}"#);
        Self::new(status).body(body)
    }
}

/// What goes wrong with a request.
pub(super) enum Fault {
    /// This answer instead of the right one.
    Answer(Answer),
    /// The right answer, of whose body this many bytes arrive.
    CutAnswer(usize),
    /// This many bytes of the request's body are taken, then the connection breaks.
    CutRequest(usize),
    /// The right answer, changed.
    Change(Box<dyn FnOnce(&mut Answer) + Send>),
}

type Faults = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<(String, Digest), Vec<u8>>,
    pub(super) manifests: BTreeMap<(String, String), (MediaType, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    pub(super) log: Vec<String>,
    pub(super) received_bytes: usize,
    pub(super) no_ranges: bool,
    faults: Option<Faults>,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) host: String,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            host: listener.local_addr().unwrap().to_string(),
            state: Arc::default(),
        };
        let server = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn fail(&self, faults: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        self.state().faults = Some(Box::new(faults));
    }

    /// Returns the requests since the last call, without the first question of each client.
    pub(super) fn log(&self) -> Vec<String> {
        let mut log = std::mem::take(&mut self.state().log);
        log.retain(|line| line != "GET /v2/");
        log
    }

    pub(super) fn put_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        let key = (name.to_owned(), digest.clone());
        self.state().blobs.insert(key, bytes.to_vec());
        digest
    }

    pub(super) fn put_manifest(&self, name: &str, tag: &str, media_type: &MediaType, bytes: &[u8]) {
        let mut state = self.state();
        for reference in [tag.to_owned(), sha256(bytes).to_string()] {
            let value = (media_type.clone(), bytes.to_vec());
            state.manifests.insert((name.to_owned(), reference), value);
        }
    }

    fn serve(&self, stream: TcpStream) {
        // Head and body are two writes.
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(mut request) = read_head(&mut reader) {
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            let fault = {
                let mut state = self.state();
                state.log.push(request.line());
                let mut faults = state.faults.take();
                let fault = faults.as_mut().and_then(|faults| faults(&request));
                state.faults = faults;
                fault
            };
            let taken = match fault {
                Some(Fault::CutRequest(bytes)) => bytes.min(length),
                _ => length,
            };
            request.body = vec![0; taken];
            if reader.read_exact(&mut request.body).is_err() {
                return;
            }
            self.state().received_bytes += taken;
            let mut answer = match &fault {
                Some(Fault::Answer(answer)) => answer.clone(),
                Some(Fault::CutRequest(_)) => {
                    self.take_part(&request);
                    return;
                }
                _ => self.answer(&request),
            };
            let whole = match fault {
                Some(Fault::CutAnswer(bytes)) => {
                    let whole = answer.body.len();
                    answer.body.truncate(bytes);
                    whole
                }
                Some(Fault::Change(change)) => {
                    change(&mut answer);
                    answer.body.len()
                }
                _ => answer.body.len(),
            };
            if write_answer(&mut stream, &request, &answer, whole).is_err()
                || answer.body.len() < whole
            {
                return;
            }
        }
    }

    /// Keeps what arrived of a body that broke off.
    fn take_part(&self, request: &Request) {
        let id = request.path().rsplit('/').next().unwrap().to_owned();
        let mut state = self.state();
        state.uploads.entry(id).or_default().extend(&request.body);
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.path();
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Answer::new(404);
        };
        if rest.is_empty() {
            return Answer::new(200);
        }
        let mut state = self.state();
        for (word, handle) in [
            (
                "/blobs/uploads/",
                upload as fn(&mut State, &Request, &str, &str) -> Answer,
            ),
            ("/blobs/", blob),
            ("/manifests/", manifest),
        ] {
            if let Some((name, last)) = rest.split_once(word) {
                return handle(&mut state, request, name, last);
            }
        }
        Answer::new(404)
    }
}

fn upload(state: &mut State, request: &Request, name: &str, id: &str) -> Answer {
    let at = |id: &str| format!("/v2/{name}/blobs/uploads/{id}?state=a%2Fb");
    match request.method.as_str() {
        "POST" => {
            if let (Some(digest), Some(from)) = (request.query("mount"), request.query("from")) {
                let digest: Digest = digest.parse().unwrap();
                if let Some(bytes) = state.blobs.get(&(from, digest.clone())).cloned() {
                    state.blobs.insert((name.to_owned(), digest), bytes);
                    return Answer::new(201);
                }
            }
            let id = format!("u{}", state.uploads.len());
            state.uploads.insert(id.clone(), Vec::new());
            Answer::new(202).header("Location", at(&id))
        }
        "GET" => match state.uploads.get(id) {
            Some(bytes) => Answer::new(204)
                .header("Location", at(id))
                .header("Range", format!("0-{}", bytes.len().saturating_sub(1))),
            None => Answer::error(404, "BLOB_UPLOAD_UNKNOWN"),
        },
        method => {
            let Some(bytes) = state.uploads.get_mut(id) else {
                return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
            };
            let range = request.header("content-range");
            let start = range.split('-').next().unwrap().parse().unwrap_or(0);
            if method == "PATCH" && start != bytes.len() {
                return Answer::error(416, "RANGE_INVALID");
            }
            bytes.extend(&request.body);
            if method == "PATCH" {
                return Answer::new(202).header("Location", at(id));
            }
            let digest: Digest = request.query("digest").unwrap().parse().unwrap();
            let bytes = state.uploads.remove(id).unwrap();
            if sha256(&bytes) != digest {
                return Answer::error(400, "DIGEST_INVALID");
            }
            state.blobs.insert((name.to_owned(), digest), bytes);
            Answer::new(201)
        }
    }
}

fn blob(state: &mut State, request: &Request, name: &str, digest: &str) -> Answer {
    let digest: Digest = digest.parse().unwrap();
    let Some(bytes) = state.blobs.get(&(name.to_owned(), digest)) else {
        return Answer::error(404, "BLOB_UNKNOWN");
    };
    let range = request.header("range").strip_prefix("bytes=");
    match range.filter(|_| !state.no_ranges) {
        None => Answer::new(200).body(bytes.clone()),
        Some(range) => {
            let (start, last) = range.split_once('-').unwrap();
            let start: usize = start.parse().unwrap();
            let last: usize = last.parse().unwrap_or(bytes.len() - 1);
            if last >= bytes.len() || start > last {
                return Answer::new(416);
            }
            Answer::new(206)
                .header(
                    "Content-Range",
                    format!("bytes {start}-{last}/{}", bytes.len()),
                )
                .body(&bytes[start..=last])
        }
    }
}

fn manifest(state: &mut State, request: &Request, name: &str, reference: &str) -> Answer {
    let key = (name.to_owned(), reference.to_owned());
    if request.method == "PUT" {
        let media_type = MediaType::parse(request.header("content-type"));
        state
            .manifests
            .insert(key, (media_type, request.body.clone()));
        return Answer::new(201);
    }
    match state.manifests.get(&key) {
        None => Answer::error(404, "MANIFEST_UNKNOWN"),
        Some((media_type, bytes)) => Answer::new(200)
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", sha256(bytes))
            .body(bytes.clone()),
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            return Some(request);
        };
        request
            .headers
            .insert(name.to_lowercase(), value.to_owned());
    }
}

fn write_answer(
    stream: &mut TcpStream,
    request: &Request,
    answer: &Answer,
    length: usize,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    if answer.status != 204 {
        head = format!("{head}Content-Length: {length}\r\n");
    }
    for (name, value) in &answer.headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}
