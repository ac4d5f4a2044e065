// SPDX-License-Identifier: Apache-2.0
//! What operators rely on: probes, numbers, lines, limits.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use registry::server::monitor::{self, LogForm, LogSink, Monitor, MonitorConfig};

use crate::auth_peer::{Guarded, basic};
use crate::peer::{Answer, CLOCK, Request, Server, manifest};

/// Serves the numbers of `monitor` on a port of their own, until the process ends.
fn metrics_of(monitor: &Arc<Monitor>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let monitor = Arc::clone(monitor);
    drop(std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            monitor::serve(monitor, listener).await;
        });
    }));
    address
}

fn get(address: SocketAddr, path: &str) -> Answer {
    Request::new("GET", path).send(address).unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn probes_are_outside_the_api_and_say_one_word() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, &*answer.body),
            (200, &b"ok\n"[..]),
            "{path}"
        );
        assert_eq!(answer.header("docker-distribution-api-version"), None);
        assert_eq!(server.head(path).status, 200);
        assert_eq!(server.delete(path).status, 405);
    }
    // A repository may be called as a probe.
    server.push_blob("healthz", b"x");
    assert_eq!(server.put_manifest("readyz", "x", b"{}").status, 400);
    assert_eq!(server.get("/v2/healthz/tags/list").status, 200);
    assert_eq!(server.get("/metrics").status, 404);
}

#[test]
fn a_server_that_is_told_to_stop_is_not_ready_and_ends_what_runs() {
    let monitor = Arc::new(Monitor::new(MonitorConfig::new(CLOCK)));
    let metrics = metrics_of(&monitor);
    assert_eq!(get(metrics, "/readyz").status, 503, "nothing is served yet");
    let watched = Arc::clone(&monitor);
    let server = Server::with(|config| config.monitor = watched);
    let start = Instant::now();
    while get(metrics, "/readyz").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(10), "never ready");
    }
    let address = server.address;
    let mut running = TcpStream::connect(address).unwrap();
    let head = "POST /v2/a/blobs/uploads/?digest=";
    let digest = oci::sha256(b"hello");
    let head = format!("{head}{digest} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel");
    running.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let stopping = std::thread::spawn(move || drop(server));
    let start = Instant::now();
    while get(metrics, "/readyz").status != 503 {
        assert!(start.elapsed() < Duration::from_secs(5), "still ready");
    }
    assert_eq!(get(metrics, "/healthz").status, 200);
    assert!(TcpStream::connect(address).is_err() || !stopping.is_finished());
    running.write_all(b"lo").unwrap();
    assert_eq!(Answer::read(running, false).unwrap().status, 201);
    stopping.join().unwrap();
}

#[test]
fn numbers_do_not_grow_with_names() {
    let monitor = Arc::new(Monitor::new(MonitorConfig::new(CLOCK)));
    let metrics = metrics_of(&monitor);
    let server = Server::with(|config| config.monitor = monitor);
    let blob = server.push_blob("one", b"hello");
    server.get(&format!("/v2/one/blobs/{blob}"));
    let before = text(&get(metrics, "/metrics")).lines().count();
    for n in 0..50 {
        server.get(&format!("/v2/repository{n}/blobs/{blob}"));
        server.get(&format!("/elsewhere/{n}"));
        server.send(&Request::new(&format!("BREW{n}"), "/v2/"));
    }
    let after = text(&get(metrics, "/metrics"));
    assert!(
        !after.contains("repository7") && !after.contains("BREW7"),
        "{after}"
    );
    // New classes of answers, never new names.
    assert!(after.lines().count() < before + 40, "{after}");
    for line in [
        "kiln_registry_requests_total{method=\"POST\",endpoint=\"uploads\",status=\"2xx\"} 1",
        "kiln_registry_requests_total{method=\"GET\",endpoint=\"blob\",status=\"4xx\"} 50",
        "kiln_registry_received_bytes_total 5",
        "kiln_registry_storage_operations_total{operation=\"publish\",outcome=\"ok\"} 1",
    ] {
        assert!(after.contains(line), "{line}\n{after}");
    }
}

/// Returns a monitor, and the access log that it writes as JSON.
fn logging() -> (Arc<Monitor>, Arc<Mutex<Vec<u8>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let sink = LogSink(Arc::new(move |text: &[u8]| {
        written.lock().unwrap().extend_from_slice(text);
        Ok(())
    }));
    let mut config = MonitorConfig::new(CLOCK);
    config.access_log = Some((LogForm::Json, sink));
    (Arc::new(Monitor::new(config)), lines)
}

#[test]
fn each_request_is_one_line() {
    let (monitor, lines) = logging();
    let server = Server::with(|config| config.monitor = monitor);
    let request = Request::new("GET", "/v2/?n=1&_state=secret");
    let request = request.header("authorization", "Basic aHVudGVyMg==");
    let answer = server.send(&request.header("x-request-id", "mine-1"));
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    server.get("/healthz");
    drop(server);
    let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["path"], "/v2/?n=1&_state=***");
    assert_eq!(json["status"], 200);
    assert_eq!(json["bytes"], 2);
    assert_eq!(json["remote"], "127.0.0.1");
    assert_eq!(json["request_id"], "mine-1");
    assert!(
        !text.contains("aHVudGVyMg") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn a_line_names_the_user_once_he_has_proven_who_he_is() {
    let (monitor, lines) = logging();
    let metrics = metrics_of(&monitor);
    let guarded = Guarded::watched(|_| {}, Some(monitor));
    let token = guarded.token(Some("ci"), "repository:team/a:pull,push");
    let upload = guarded.open_upload("team/a", &token);
    let tags = || Request::new("GET", "/v2/team/a/tags/list");
    guarded.send(Request::new("GET", &upload), Some(&token));
    guarded.send(Request::new("GET", &upload), None);
    guarded.send(tags(), Some(&basic("bob", "bob")));
    guarded.send(tags(), Some(&basic("eve", "wrong")));
    guarded.send(tags(), None);
    let numbers = text(&get(metrics, "/metrics"));
    let counted = "requests_total{method=\"GET\",endpoint=\"token\",status=\"2xx\"} 1";
    assert!(numbers.contains(counted), "{numbers}");
    drop(guarded);
    let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let users: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["status"].as_u64().unwrap(), line["user"].clone())
        })
        .collect();
    let expected = [
        (200, "ci".into()),
        (202, "ci".into()),
        (204, "ci".into()),
        // The address of an upload is a pass of who opened it.
        (204, "ci".into()),
        (403, "bob".into()),
        (401, serde_json::Value::Null),
        (401, serde_json::Value::Null),
    ];
    assert_eq!(users, expected, "{text}");
}

#[test]
fn limits_of_requests() {
    let server = Server::with(|config| {
        config.limits.uri_max_bytes = 300;
        config.limits.headers_max = 10;
        config.limits.tags_max = 10;
        config.limits.references_max = 3;
        config.limits.upload_max_bytes = Some(10);
    });
    let long = server.get(&format!("/v2/?{}", "x".repeat(300)));
    assert_eq!((long.status, &*long.code()), (414, "UNSUPPORTED"));
    let many = (0..10).fold(Request::new("GET", "/v2/"), |request, n| {
        request.header(&format!("x-{n}"), "y")
    });
    assert_eq!(server.send(&many).status, 431);
    let tags: Vec<String> = (0..11).map(|n| format!("tag={n}")).collect();
    let config = server.push_blob("a", b"{}");
    let body = manifest(&config, &[], "");
    let path = format!("x?{}", tags.join("&"));
    assert_eq!(server.put_manifest("a", &path, body.as_bytes()).status, 414);
    let body = manifest(&config, &[&config, &config, &config], "");
    assert_eq!(server.put_manifest("a", "x", body.as_bytes()).status, 400);
    let digest = oci::sha256(b"hello world");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let answer = server.send(&Request::new("POST", &path).body(b"hello world"));
    assert_eq!((answer.status, &*answer.code()), (413, "SIZE_INVALID"));
    let start = Request::new("POST", "/v2/a/blobs/uploads/").header("content-length", "0");
    let location = server.send(&start).header("location").unwrap().to_owned();
    let first = Request::new("PATCH", &location).stream(b"hello ");
    assert_eq!(server.send(&first).status, 202);
    let second = Request::new("PATCH", &location).stream(b"world");
    assert_eq!(server.send(&second).status, 413, "the parts are one blob");
}

#[test]
fn a_warning_of_the_operator_is_on_every_answer() {
    let mut config = MonitorConfig::new(CLOCK);
    config.warning = Some("moves to \"new\" soon".into());
    let monitor = Arc::new(Monitor::new(config));
    let server = Server::with(|config| config.monitor = monitor);
    for path in ["/v2/", "/v2/_catalog", "/v2/a/manifests/x"] {
        let answer = server.get(path);
        let expected = "299 - \"moves to \\\"new\\\" soon\"";
        assert_eq!(answer.header("warning"), Some(expected), "{path}");
    }
}
