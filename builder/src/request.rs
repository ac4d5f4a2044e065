// SPDX-License-Identifier: Apache-2.0
//! What the caller of a build asks for, besides what the frontend is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use graph::SourceFile;
use oci::Reference;

use crate::cdi::DeviceConsent;
use crate::pins::SourcePins;
use crate::secret::Secrets;
use crate::ssh::SshAgents;

/// One build.
#[derive(Debug)]
pub struct BuildRequest<I> {
    /// What the frontend lowers.
    pub input: I,
    /// Directories that `local://NAME` sources read in place, by name; the main one is `context`.
    pub contexts: BTreeMap<String, LocalContext>,
    /// Image layouts that `oci-layout://` sources with `oci.store=NAME` read, by name.
    pub layouts: BTreeMap<String, PathBuf>,
    /// Tags that the image gets in the local store, and on the registry if it is pushed.
    pub tags: Vec<Reference>,
    /// Where the result goes besides the build cache, in order; never empty.
    pub outputs: Vec<Output>,
    /// Secrets that steps may mount.
    pub secrets: Secrets,
    /// What sources were found to be before the build, if any were fetched for it.
    pub pins: SourcePins,
    /// SSH agents that steps may sign with.
    pub ssh: SshAgents,
    /// A CA bundle of the host that RUN steps trust (`--host-ca`).
    pub host_ca: Option<PathBuf>,
    /// `SOURCE_DATE_EPOCH` in seconds: the time of everything that the build makes.
    pub source_date_epoch: Option<i64>,
    /// What the user allowed steps to have beyond the sandbox (`--allow`).
    pub entitlements: Entitlements,
    /// How layers are compressed.
    pub compression: Compression,
    /// Steps that run at the same time at most; none for one per processor, at least two.
    pub parallel_max: Option<usize>,
}

/// A directory on this machine that a build reads.
#[derive(Clone, Debug)]
pub struct LocalContext {
    /// The directory.
    pub directory: PathBuf,
    /// Its ignore file, if it has one.
    pub ignore: Option<Arc<SourceFile>>,
}

/// Consent of the user to steps outside the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// `RUN --network=host` and `--network=host`.
    pub network_host: bool,
    /// `RUN --security=insecure`.
    pub security_insecure: bool,
    /// `RUN --device`.
    pub devices: DeviceConsent,
}

/// Compression of layers that the build makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// gzip, read by everybody.
    #[default]
    Gzip,
    /// zstd, faster and smaller.
    Zstd,
    /// None.
    Uncompressed,
}

/// Where a file or a stream of an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file or directory.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The local image store (`type=image`, and the default).
    Image {
        /// Whether the tags are pushed too.
        push: bool,
    },
    /// An archive of an OCI image layout (`type=oci`), or the layout itself with `tar=false`.
    Oci {
        /// Where to.
        destination: Destination,
        /// Whether an archive is written rather than a directory.
        tar: bool,
    },
    /// An archive that `docker load` reads (`type=docker`).
    Docker {
        /// Where to.
        destination: Destination,
    },
    /// The files of the result in a directory (`type=local`).
    Local {
        /// Where to.
        directory: PathBuf,
    },
    /// The files of the result as a tar archive (`type=tar`).
    Tar {
        /// Where to.
        destination: Destination,
    },
    /// Nothing but the cache (`type=cacheonly`).
    CacheOnly,
}

impl Output {
    /// Tells whether an image must be assembled for this output.
    pub(crate) fn needs_image(&self) -> bool {
        matches!(
            self,
            Self::Image { .. } | Self::Oci { .. } | Self::Docker { .. }
        )
    }
}
