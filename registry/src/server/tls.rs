// SPDX-License-Identifier: Apache-2.0
//! TLS from files: a certificate chain and its key, read again when the files change.
//!
//! Connections that are open keep what they began with. A new pair that does not work is reported
//! once, and the old one stays. Does not know HTTP beyond the names in ALPN.
//!
//! Spec: RFC 8446; RFC 7301 (ALPN).

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::certificate::{self, PemError};
use crate::storage::Clock;

/// How often the files are looked at. Ours: renewals come days before the old pair ends.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The lowest version of the protocol that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, with ciphers that keep past sessions secret.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Where certificate and key come from, and who may connect.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate and those above it, as PEM, the server's first.
    pub certificate: PathBuf,
    /// The key of the first certificate, as PEM without passphrase. May be the same file.
    pub key: PathBuf,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Authorities, as PEM: only clients with a certificate of one of them may connect.
    pub client_ca: Option<PathBuf>,
    /// Whether HTTP/2 is offered to clients.
    pub http2: bool,
}

impl TlsConfig {
    /// Returns the defaults for a pair of files: TLS 1.2, every client.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            min_version: TlsVersion::default(),
            client_ca: None,
            http2: true,
        }
    }

    /// Reads the files and checks that they fit each other.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn check(&self) -> Result<(), TlsError> {
        load(self).map(drop)
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        files.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not what it should be.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate or key is of a kind that is not supported, or broken inside.
    #[error("cannot use the certificate in {} with the key in {}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// An authority for clients is broken.
    #[error("cannot use the authorities in {}", .0.display())]
    Authority(PathBuf, #[source] rustls::Error),
    /// No authority for clients is usable.
    #[error("cannot check clients against the authorities in {}", .0.display())]
    Verifier(PathBuf, #[source] VerifierBuilderError),
    /// The certificate is no longer valid; it is used all the same.
    #[error("the certificate in {} has expired", .0.display())]
    Expired(PathBuf),
    /// The certificate is not valid yet; it is used all the same.
    #[error("the certificate in {} is not valid yet", .0.display())]
    Early(PathBuf),
}

/// What tells one state of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The pair in use.
struct Pair {
    server: Arc<ServerConfig>,
    from: Option<i64>,
    until: Option<i64>,
    has_warned: bool,
}

/// TLS for a listener.
pub(super) struct Tls {
    config: TlsConfig,
    clock: Clock,
    current: Mutex<Pair>,
    stamps: Mutex<Vec<Option<Stamp>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], but not for a certificate whose time is over or yet to come: see
    /// [`Self::warning`].
    pub(super) fn open(config: TlsConfig, clock: Clock) -> Result<Self, TlsError> {
        // Before the files are read: a change in between is seen next time.
        let stamps = config.files().map(Stamp::of).collect();
        let pair = load(&config)?;
        Ok(Self {
            config,
            clock,
            current: Mutex::new(pair),
            stamps: Mutex::new(stamps),
        })
    }

    /// Returns what new connections are to use.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().server)
    }

    /// Reads the files again if they changed; tells whether it did. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the old pair stays in use, and is not tried again before the next change.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let stamps: Vec<_> = self.config.files().map(Stamp::of).collect();
        {
            let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == stamps {
                return Ok(false);
            }
            *known = stamps;
        }
        let pair = load(&self.config)?;
        *self.current() = pair;
        Ok(true)
    }

    /// Returns what is wrong with the time of the certificate in use, once for each.
    pub(super) fn warning(&self) -> Option<TlsError> {
        let now = (self.clock.0)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let path = || self.config.certificate.clone();
        let mut current = self.current();
        if current.has_warned {
            return None;
        }
        let warning = match (current.from, current.until) {
            (_, Some(until)) if until < now => TlsError::Expired(path()),
            (Some(from), _) if now < from => TlsError::Early(path()),
            _ => return None,
        };
        current.has_warned = true;
        Some(warning)
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Pair> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(config: &TlsConfig) -> Result<Pair, TlsError> {
    let chain = certificate::certificates(&config.certificate)?;
    let key = certificate::private_key(&config.key)?;
    let validity = chain.first().and_then(|first| certificate::validity(first));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let unusable = |source| match source {
        rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch {
                key: config.key.clone(),
                certificate: config.certificate.clone(),
            }
        }
        source => TlsError::Unusable {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            source,
        },
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(unusable)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|error| TlsError::Verifier(path.clone(), error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.http2 {
        server.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Pair {
        server: Arc::new(server),
        from: validity.map(|validity| validity.from),
        until: validity.map(|validity| validity.until),
        has_warned: false,
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for one in certificate::certificates(path)? {
        let added = roots.add(one);
        added.map_err(|error| TlsError::Authority(path.into(), error))?;
    }
    Ok(roots)
}
