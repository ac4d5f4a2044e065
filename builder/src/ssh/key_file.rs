// SPDX-License-Identifier: Apache-2.0
//! Key files: OpenSSH's own format, and the three of PEM.
//!
//! Spec: OpenSSH `PROTOCOL.key`; RFC 7468 (PEM), RFC 5958 (PKCS #8), RFC 8017 (PKCS #1), RFC 5915.

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyProblem, PrivateKey, RsaParts};
use super::wire::Fields;

/// How the binary form of OpenSSH's format begins.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// Reads the first private key of a file.
pub(super) fn read(file: &[u8]) -> Result<PrivateKey, KeyProblem> {
    let text = std::str::from_utf8(file).map_err(|_| KeyProblem::NotAKey)?;
    let (label, body) = block(text).ok_or(KeyProblem::NotAKey)?;
    // RFC 1421 §4.6: headers before the text of old PEM files.
    if body.contains("ENCRYPTED") {
        return Err(KeyProblem::Encrypted);
    }
    let body: String = body.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(body).map_err(|_| KeyProblem::Damaged)?;
    match label {
        "OPENSSH PRIVATE KEY" => openssh(&bytes),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&bytes)
            .map(PrivateKey::rsa)
            .map_err(|_| KeyProblem::Damaged),
        "EC PRIVATE KEY" => PrivateKey::ecdsa_der(&bytes).ok_or(KeyProblem::Damaged),
        "PRIVATE KEY" => pkcs8(&bytes),
        "ENCRYPTED PRIVATE KEY" => Err(KeyProblem::Encrypted),
        "DSA PRIVATE KEY" => Err(KeyProblem::Unsupported("ssh-dss".into())),
        _ => Err(KeyProblem::NotAKey),
    }
}

/// Returns label and text of the first block that holds a private key.
fn block(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if label.ends_with("PRIVATE KEY") {
            return Some((label, body));
        }
        rest = after;
    }
}

fn pkcs8(bytes: &[u8]) -> Result<PrivateKey, KeyProblem> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Ok(PrivateKey::ed25519(pair));
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(bytes) {
        return Ok(PrivateKey::rsa(pair));
    }
    PrivateKey::ecdsa_der(bytes).ok_or(KeyProblem::Damaged)
}

fn openssh(bytes: &[u8]) -> Result<PrivateKey, KeyProblem> {
    let fields = bytes.strip_prefix(OPENSSH_MAGIC);
    let mut fields = Fields(fields.ok_or(KeyProblem::NotAKey)?);
    let mut next = || fields.string().ok_or(KeyProblem::Damaged);
    let (cipher, _kdf, _options) = (next()?, next()?, next()?);
    if cipher != b"none" {
        return Err(KeyProblem::Encrypted);
    }
    // One key, as every program writes them; its public half is in the private one too.
    let _count = fields.u32();
    let _public = fields.string();
    let mut private = Fields(fields.string().ok_or(KeyProblem::Damaged)?);
    if private.u32() != private.u32() {
        return Err(KeyProblem::Damaged);
    }
    openssh_key(&mut private)
}

fn openssh_key(fields: &mut Fields<'_>) -> Result<PrivateKey, KeyProblem> {
    let kind = fields.string().ok_or(KeyProblem::Damaged)?;
    let kind = String::from_utf8_lossy(kind).into_owned();
    let mut next = || fields.mpint().ok_or(KeyProblem::Damaged);
    match kind.as_str() {
        "ssh-ed25519" => {
            // Not numbers: zeros at the front belong to them.
            let public = fields.string().ok_or(KeyProblem::Damaged)?;
            let both = fields.string().ok_or(KeyProblem::Damaged)?;
            let seed = both.get(..32).ok_or(KeyProblem::Damaged)?;
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
                .map(PrivateKey::ed25519)
                .map_err(|_| KeyProblem::Damaged)
        }
        "ssh-rsa" => PrivateKey::rsa_parts(&RsaParts {
            n: next()?,
            e: next()?,
            d: next()?,
            q_inverse: next()?,
            p: next()?,
            q: next()?,
        }),
        kind if kind.starts_with("ecdsa-sha2-") => {
            let (curve, point, number) = (next()?, next()?, next()?);
            PrivateKey::ecdsa(&String::from_utf8_lossy(curve), number, point)
        }
        _ => Err(KeyProblem::Unsupported(kind)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let pem = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        for (file, problem) in [
            (String::new(), KeyProblem::NotAKey),
            ("ssh-ed25519 AAAA me@here\n".into(), KeyProblem::NotAKey),
            (pem("CERTIFICATE", "AAAA"), KeyProblem::NotAKey),
            (pem("PRIVATE KEY", "!"), KeyProblem::Damaged),
            (pem("PRIVATE KEY", "AAAA"), KeyProblem::Damaged),
            (pem("OPENSSH PRIVATE KEY", "AAAA"), KeyProblem::NotAKey),
            (pem("ENCRYPTED PRIVATE KEY", "AAAA"), KeyProblem::Encrypted),
            (
                pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA"),
                KeyProblem::Encrypted,
            ),
        ] {
            let found = read(file.as_bytes()).err();
            assert_eq!(found, Some(problem), "{file}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut file = OPENSSH_MAGIC.to_vec();
            for part in [&b"none"[..], b"none", b""] {
                super::super::wire::put_string(&mut file, part);
            }
            file.extend_from_slice(&bytes);
            drop(openssh(&file));
            drop(openssh_key(&mut Fields(&bytes)));
            drop(read(&bytes));
        }
    }
}
