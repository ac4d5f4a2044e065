// SPDX-License-Identifier: Apache-2.0
//! What passes between a step and an agent, over real sockets.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use base64::Engine;

use super::super::wire::{put_string, put_u32};
use super::*;

const OWNER: SocketOwner = SocketOwner {
    mode: 0o600,
    uid: 0,
    gid: 0,
};

fn owner() -> SocketOwner {
    let metadata = std::fs::metadata("/proc/self").unwrap();
    SocketOwner {
        uid: metadata.uid(),
        gid: metadata.gid(),
        ..OWNER
    }
}

/// An agent that remembers the kinds of requests and says success to all.
fn fake_agent(directory: &Path) -> (PathBuf, Arc<Mutex<Vec<u8>>>, JoinSet<()>) {
    let path = directory.join("fake");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&seen);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Some(request) = wire::read(&mut stream).await {
                kinds.lock().unwrap().push(request[0]);
                wire::write(&mut stream, &[6, request[0]]).await;
            }
        }
    });
    (path, seen, serving)
}

async fn say(stream: &mut UnixStream, request: &[u8]) -> Option<Vec<u8>> {
    wire::write(stream, request).await?;
    wire::read(stream).await
}

#[tokio::test]
async fn only_listing_and_signing_pass() {
    let directory = tempfile::tempdir().unwrap();
    let (path, seen, _serving) = fake_agent(directory.path());
    let agent = SshAgent::Socket(path);
    let socket = AgentSocket::listen(directory.path(), &agent, owner()).unwrap();
    let mut step = UnixStream::connect(socket.path()).await.unwrap();
    // Spec: draft-miller-ssh-agent §7.1, every request there is.
    for kind in [1, 7, 9, 11, 13, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 255] {
        let passes = matches!(kind, REQUEST_IDENTITIES | SIGN_REQUEST);
        let expected = if passes { vec![6, kind] } else { vec![FAILURE] };
        assert_eq!(say(&mut step, &[kind, 0]).await, Some(expected), "{kind}");
    }
    assert_eq!(*seen.lock().unwrap(), [REQUEST_IDENTITIES, SIGN_REQUEST]);
}

#[tokio::test]
async fn the_socket_goes_with_the_step() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _seen, _serving) = fake_agent(directory.path());
    let agent = SshAgent::Socket(path);
    let owner = SocketOwner {
        mode: 0o4640,
        ..owner()
    };
    let socket = AgentSocket::listen(directory.path(), &agent, owner).unwrap();
    let path = socket.path();
    let mode = std::fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o640, "only permission bits");
    let mut step = UnixStream::connect(&path).await.unwrap();
    assert!(say(&mut step, &[REQUEST_IDENTITIES]).await.is_some());
    drop(socket);
    assert_eq!(say(&mut step, &[REQUEST_IDENTITIES]).await, None);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_step_without_its_agent_gets_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let agent = SshAgent::Socket(directory.path().join("nobody"));
    let socket = AgentSocket::listen(directory.path(), &agent, owner()).unwrap();
    let mut step = UnixStream::connect(socket.path()).await.unwrap();
    assert_eq!(say(&mut step, &[REQUEST_IDENTITIES]).await, None);
}

fn sign_request(public: &[u8], message: &[u8], flags: u32) -> Vec<u8> {
    let mut request = vec![SIGN_REQUEST];
    put_string(&mut request, public);
    put_string(&mut request, message);
    put_u32(&mut request, flags);
    request
}

fn openssh_file(private: &[u8]) -> Vec<u8> {
    let mut bytes = b"openssh-key-v1\0".to_vec();
    for part in [&b"none"[..], b"none", b""] {
        put_string(&mut bytes, part);
    }
    put_u32(&mut bytes, 1);
    put_string(&mut bytes, b"the public half");
    put_string(&mut bytes, private);
    pem("OPENSSH PRIVATE KEY", &bytes)
}

fn pem(label: &str, bytes: &[u8]) -> Vec<u8> {
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
}

#[test]
fn an_ed25519_key_signs() {
    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = pair.public_key().as_ref();
    let mut private = Vec::new();
    put_u32(&mut private, 1);
    put_u32(&mut private, 1);
    put_string(&mut private, b"ssh-ed25519");
    put_string(&mut private, public);
    put_string(&mut private, &[&seed, public].concat());
    put_string(&mut private, b"a comment");
    let keys = SshKeys::read(&[openssh_file(&private)]).unwrap();

    let list = answer(&keys, &[REQUEST_IDENTITIES]);
    let mut fields = Fields(&list[1..]);
    assert_eq!((list[0], fields.u32()), (IDENTITIES_ANSWER, Some(1)));
    let blob = fields.string().unwrap();

    let answered = answer(&keys, &sign_request(blob, b"message", 0));
    let mut fields = Fields(&answered[1..]);
    let mut signature = Fields(fields.string().unwrap());
    assert_eq!(signature.string(), Some(&b"ssh-ed25519"[..]));
    let verified = UnparsedPublicKey::new(&ED25519, public);
    assert!(
        verified
            .verify(b"message", signature.string().unwrap())
            .is_ok()
    );

    let unknown = answer(&keys, &sign_request(b"other", b"message", 0));
    assert_eq!(unknown, [FAILURE]);
    assert_eq!(answer(&keys, &[SIGN_REQUEST, 0, 0]), [FAILURE], "cut off");
}

#[test]
fn an_rsa_key_signs_with_sha_2_only() {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let keys = SshKeys::read(&[pem("PRIVATE KEY", pkcs8.as_ref())]).unwrap();
    let blob = keys.0[0].public.clone();
    assert_eq!(answer(&keys, &sign_request(&blob, b"m", 0)), [FAILURE]);
    let answered = answer(&keys, &sign_request(&blob, b"m", 4));
    let mut fields = Fields(&answered[1..]);
    let mut signature = Fields(fields.string().unwrap());
    assert_eq!(signature.string(), Some(&b"rsa-sha2-512"[..]));
    let verified = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, pair.public_key().as_ref());
    assert!(verified.verify(b"m", signature.string().unwrap()).is_ok());
}
