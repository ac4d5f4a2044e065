// SPDX-License-Identifier: Apache-2.0
//! TLS: certificates from files, their renewal, and what is not TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use registry::server::{Reporter, TlsConfig, TlsVersion};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

use crate::peer::{Answer, Request, Server};

/// A certificate, as a client trusts it.
pub(crate) struct Issued {
    pub(crate) trusted: CertificateDer<'static>,
    key: String,
    pem: String,
}

/// Issues a certificate for the server, valid now by the tests' clock unless `change` says other.
pub(crate) fn issue(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Issued {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    change(&mut parameters);
    let certificate = parameters.self_signed(&key).unwrap();
    Issued {
        trusted: certificate.der().clone(),
        key: key.serialize_pem(),
        pem: certificate.pem(),
    }
}

/// Writes certificate and key into `directory`, as a renewal does.
pub(crate) fn install(directory: &Path, issued: &Issued) -> TlsConfig {
    let config = TlsConfig::new(directory.join("tls.crt"), directory.join("tls.key"));
    for (path, text) in [
        (&config.certificate, &issued.pem),
        (&config.key, &issued.key),
    ] {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
    }
    config
}

pub(crate) fn client(trusted: &CertificateDer<'static>, alpn: &[&str]) -> ClientConfig {
    client_of(trusted, alpn, &[&version::TLS13, &version::TLS12])
}

fn client_of(
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Connects and shakes hands.
fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn send(address: SocketAddr, config: ClientConfig, request: &Request) -> std::io::Result<Answer> {
    let mut stream = connect(address, config)?;
    stream.write_all(&request.bytes())?;
    Answer::read(stream, false)
}

/// Collects what a server reports.
pub(crate) fn reports() -> (Reporter, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let report = Reporter(Arc::new(move |error| {
        sink.lock().unwrap().push(error.to_string());
    }));
    (report, heard)
}

fn wait_until(clause: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < deadline, "{clause}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn requests_in_tls_and_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let issued = issue(|_| {});
    let tls = install(directory.path(), &issued);
    let server = Server::with(|config| config.tls = Some(tls));
    let base = Request::new("GET", "/v2/");
    for alpn in [&[][..], &["http/1.1"], &["h3", "http/1.1"]] {
        let answer = send(server.address, client(&issued.trusted, alpn), &base).unwrap();
        assert_eq!(answer.status, 200, "{alpn:?}");
    }
    let both = connect(server.address, client(&issued.trusted, &["h2", "http/1.1"])).unwrap();
    assert_eq!(both.conn.alpn_protocol(), Some(&b"h2"[..]));
    let plain = server.send(&base);
    assert_eq!((plain.status, &*plain.code()), (400, "UNSUPPORTED"));
    let text = String::from_utf8(plain.body).unwrap();
    assert!(text.contains("https"), "{text}");
}

#[test]
fn the_lowest_version_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let issued = issue(|_| {});
    for (min_version, works) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
        let mut tls = install(directory.path(), &issued);
        tls.min_version = min_version;
        let server = Server::with(|config| config.tls = Some(tls));
        let old = client_of(&issued.trusted, &[], &[&version::TLS12]);
        assert_eq!(
            connect(server.address, old).is_ok(),
            works,
            "{min_version:?}"
        );
        let new = client_of(&issued.trusted, &[], &[&version::TLS13]);
        assert!(connect(server.address, new).is_ok(), "{min_version:?}");
    }
}

#[test]
fn clients_without_certificate_can_be_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let issued = issue(|_| {});
    let mut tls = install(directory.path(), &issued);
    tls.client_ca = Some(tls.certificate.clone());
    let server = Server::with(|config| config.tls = Some(tls));
    let base = Request::new("GET", "/v2/");
    assert!(send(server.address, client(&issued.trusted, &[]), &base).is_err());
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (issue(|_| {}), issue(|_| {}));
    let tls = install(directory.path(), &first);
    let (report, heard) = reports();
    let key = tls.key.clone();
    let server = Server::with(|config| {
        config.tls = Some(tls);
        config.report = report;
    });
    let works = |issued: &Issued| connect(server.address, client(&issued.trusted, &[])).is_ok();
    assert!(works(&first) && !works(&second));
    install(directory.path(), &second);
    wait_until("the new pair is used", || works(&second));
    std::fs::write(&key, &first.key).unwrap();
    wait_until("the mismatch is reported", || {
        let heard = heard.lock().unwrap();
        heard
            .iter()
            .any(|text| text.contains("does not belong to the certificate"))
    });
    assert!(works(&second), "the pair that works stays");
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (one, other) = (issue(|_| {}), issue(|_| {}));
    let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (clause, certificate, key, message) in [
        ("fits", one.pem.as_str(), one.key.as_str(), None),
        (
            "key first",
            &one.key,
            &one.key,
            Some("holds no certificate"),
        ),
        ("no key", &one.pem, &one.pem, Some("holds no private key")),
        (
            "passphrase",
            &one.pem,
            &encrypted,
            Some("holds no private key"),
        ),
        ("empty", "", &one.key, Some("holds no certificate")),
        ("not PEM", broken, &one.key, Some("is not valid PEM")),
        (
            "another key",
            &one.pem,
            &other.key,
            Some("does not belong to the certificate"),
        ),
    ] {
        std::fs::write(path("crt"), certificate).unwrap();
        std::fs::write(path("key"), key).unwrap();
        let checked = TlsConfig::new(path("crt"), path("key")).check();
        match (checked, message) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => {
                assert!(error.to_string().contains(part), "{clause}: {error}");
            }
            (checked, _) => panic!("{clause}: {checked:?}"),
        }
    }
    let missing = TlsConfig::new(path("gone"), path("key"))
        .check()
        .unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
}

#[test]
fn a_certificate_out_of_its_time_serves_with_a_warning() {
    // The tests' clock stands in 2004.
    for (from, until, message) in [
        (1990, 2000, Some("has expired")),
        (2010, 2020, Some("not valid yet")),
        (2000, 2020, None),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let issued = issue(|parameters| {
            parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        });
        let tls = install(directory.path(), &issued);
        let (report, heard) = reports();
        let server = Server::with(|config| {
            config.tls = Some(tls);
            config.report = report;
        });
        let Some(message) = message else {
            assert_eq!(server.send(&Request::new("GET", "/v2/")).status, 400);
            assert_eq!(*heard.lock().unwrap(), Vec::<String>::new());
            continue;
        };
        wait_until(message, || {
            let heard = heard.lock().unwrap();
            heard.iter().filter(|text| text.contains(message)).count() == 1
        });
    }
}

#[test]
fn slow_clients_are_cut_off_in_tls() {
    let directory = tempfile::tempdir().unwrap();
    let issued = issue(|_| {});
    let tls = install(directory.path(), &issued);
    let server = Server::with(|config| {
        config.tls = Some(tls);
        config.limits.handshake = Duration::from_millis(300);
        config.limits.head = Duration::from_millis(300);
        config.limits.body_idle = Duration::from_millis(300);
        config.limits.write_idle = Duration::from_millis(300);
    });
    let started = Instant::now();
    let mut silent = TcpStream::connect(server.address).unwrap();
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for stream in [&mut silent, &mut half] {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    }
    for text in [
        "",
        "GET /v2/ HT",
        "PUT /v2/a/manifests/x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let mut stream = connect(server.address, client(&issued.trusted, &[])).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "all of them were cut off"
    );
}
