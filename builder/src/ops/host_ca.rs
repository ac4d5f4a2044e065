// SPDX-License-Identifier: Apache-2.0
//! `--host-ca`: RUN steps trust what this machine trusts.
//!
//! Behind a TLS-inspecting proxy every download in a RUN step fails, because the image does not
//! know the proxy's CA. The host does. Its bundle is mounted read-only for the time of the step and
//! the variables that package managers read point at it. Neither becomes part of the image or of a
//! cache key: what is downloaded is the same with or without.
//!
//! A variable that the step sets itself is left alone.
//!
//! Ours: no peer has it. Variable names are each tool's own.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use runtime::{Mount, MountSource};

/// Where the files appear in a step.
const DIRECTORY: &str = "/run/kiln";
/// The largest bundle that is read, in bytes; real ones have under 1 MiB.
const BUNDLE_MAX_BYTES: u64 = 16 << 20;

/// Variables that take the path of a PEM bundle.
const PEM_VARIABLES: [&str; 14] = [
    "SSL_CERT_FILE",                    // OpenSSL, Go, Ruby, rustls' native roots
    "CURL_CA_BUNDLE",                   // curl, requests
    "REQUESTS_CA_BUNDLE",               // Python requests
    "PIP_CERT",                         // pip
    "NODE_EXTRA_CA_CERTS",              // Node.js, npm, yarn
    "NPM_CONFIG_CAFILE",                // npm where it brings its own TLS options
    "GIT_SSL_CAINFO",                   // git
    "CARGO_HTTP_CAINFO",                // cargo
    "AWS_CA_BUNDLE",                    // AWS tools
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // gRPC
    "NIX_SSL_CERT_FILE",                // Nix
    "DENO_CERT",                        // Deno
    "BUNDLE_SSL_CA_CERT",               // Bundler
    "HTTPLIB2_CA_CERTS",                // httplib2
];

/// The host's CA bundle in the forms that tools want.
#[derive(Clone, Debug)]
pub(crate) struct HostCa {
    pem: Vec<u8>,
    jks: Vec<u8>,
}

/// Why the host's CA bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostCaError {
    /// The file cannot be read.
    #[error("cannot read the CA bundle {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no certificate in the file.
    #[error("{} has no PEM certificate", .0.display())]
    Empty(PathBuf),
    /// The file is too large to be a CA bundle.
    #[error("{} is larger than {BUNDLE_MAX_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
}

impl HostCa {
    /// Reads a PEM bundle.
    ///
    /// # Errors
    ///
    /// [`HostCaError`].
    pub(crate) fn read(path: &Path) -> Result<Self, HostCaError> {
        let read = |source| HostCaError::Read {
            path: path.into(),
            source,
        };
        if std::fs::metadata(path).map_err(read)?.len() > BUNDLE_MAX_BYTES {
            return Err(HostCaError::TooLarge(path.into()));
        }
        let pem = std::fs::read(path).map_err(read)?;
        let certificates = certificates(&String::from_utf8_lossy(&pem));
        if certificates.is_empty() {
            return Err(HostCaError::Empty(path.into()));
        }
        let jks = java_key_store(&certificates);
        Ok(Self { pem, jks })
    }

    /// Returns the mounts that show the files to a process, read-only.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = Mount> {
        self.files().into_iter().map(|(target, content)| Mount {
            target,
            source: MountSource::File {
                content,
                mode: 0o444,
                uid: 0,
                gid: 0,
            },
            read_only: true,
        })
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        vec![
            (format!("{DIRECTORY}/host-ca.pem"), self.pem.clone()),
            (format!("{DIRECTORY}/host-ca.jks"), self.jks.clone()),
            (
                format!("{DIRECTORY}/apt.conf"),
                format!("Acquire::https::CAInfo \"{DIRECTORY}/host-ca.pem\";\n").into_bytes(),
            ),
        ]
    }

    /// Returns the variables of a step; `is_set` tells which it has already.
    pub(crate) fn variables(is_set: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = PEM_VARIABLES
            .iter()
            .map(|name| ((*name).to_owned(), format!("{DIRECTORY}/host-ca.pem")))
            .collect();
        variables.push(("APT_CONFIG".into(), format!("{DIRECTORY}/apt.conf")));
        let mut java = String::new();
        write!(
            java,
            "-Djavax.net.ssl.trustStore={DIRECTORY}/host-ca.jks -Djavax.net.ssl.trustStoreType=jks"
        )
        .expect("a string takes all text");
        variables.push(("JAVA_TOOL_OPTIONS".into(), java));
        variables.retain(|(name, _)| !is_set(name));
        variables
    }
}

/// Returns the DER bytes of every certificate in a PEM text; malformed blocks are passed over, as
/// OpenSSL does.
///
/// Spec: RFC 7468 §5.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    pem.split(BEGIN)
        .skip(1)
        .filter_map(|block| block.split_once(END))
        .filter_map(|(body, _)| {
            let compact: String = body.split_whitespace().collect();
            STANDARD.decode(compact).ok()
        })
        .filter(|der| !der.is_empty())
        .collect()
}

/// Returns a Java key store of trusted certificates, which every Java reads without a password.
///
/// Docs: `OpenJDK`, `sun.security.provider.JavaKeyStore`: magic, version 2, entries (tag 2, alias,
/// milliseconds, type, length, DER), then SHA-1 of the password in UTF-16, a fixed phrase and all
/// before. All integers big endian.
fn java_key_store(certificates: &[Vec<u8>]) -> Vec<u8> {
    let mut store = Vec::new();
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let text = |store: &mut Vec<u8>, text: &str| {
        store.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        store.extend_from_slice(text.as_bytes());
    };
    store.extend_from_slice(&0xfeed_feed_u32.to_be_bytes());
    store.extend_from_slice(&2_u32.to_be_bytes());
    store.extend_from_slice(&length(certificates.len()));
    for (at, der) in certificates.iter().enumerate() {
        store.extend_from_slice(&2_u32.to_be_bytes());
        text(&mut store, &format!("host-ca-{at}"));
        store.extend_from_slice(&0_u64.to_be_bytes());
        text(&mut store, "X.509");
        store.extend_from_slice(&length(der.len()));
        store.extend_from_slice(der);
    }
    let mut keyed: Vec<u8> = "changeit"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    keyed.extend_from_slice(b"Mighty Aphrodite");
    keyed.extend_from_slice(&store);
    let checksum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &keyed);
    store.extend_from_slice(checksum.as_ref());
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "# a comment\n-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_are_decoded_and_malformed_ones_passed_over() {
        assert_eq!(certificates(PEM), [b"ABCDEF".to_vec()]);
        assert!(certificates("no certificate").is_empty());
    }

    #[test]
    fn key_store_has_javas_layout() {
        let store = java_key_store(&[b"ABCDEF".to_vec()]);
        assert_eq!(
            store[..12],
            [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1]
        );
        assert!(store.windows(6).any(|window| window == b"ABCDEF"));
    }

    #[test]
    fn variables_of_the_step_win() {
        let variables = HostCa::variables(|name| name == "PIP_CERT");
        assert!(variables.iter().all(|(name, _)| name != "PIP_CERT"));
        assert!(variables.iter().any(|(name, _)| name == "SSL_CERT_FILE"));
    }
}
