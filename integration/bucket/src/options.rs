// SPDX-License-Identifier: Apache-2.0
//! Options of a server: its address and keys, and the dialect of S3 that it speaks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::faults::Faults;

/// The least size of a part that is not the last.
///
/// Docs: the S3 user guide, multipart upload limits.
pub(crate) const PART_BYTES_MIN: u64 = 5 << 20;

/// What the store does with conditions on writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conditions {
    /// All are checked, atomically with the write.
    #[default]
    Full,
    /// The condition of a DELETE is ignored; the others are checked.
    NoConditionalDelete,
    /// Headers are accepted and ignored, without an error. `Observed`: Garage.
    Ignored,
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Name of the bucket, which exists from the start.
    pub name: String,
    /// The one key that may sign requests.
    pub access_key: String,
    /// The secret of that key.
    pub secret_key: String,
    /// Threads that serve.
    pub threads: usize,
    /// Where large bodies are kept, in a directory of its own that goes with the server; without,
    /// everything is in memory.
    pub directory: Option<PathBuf>,
    /// What happens with conditions on writes.
    pub conditions: Conditions,
    /// Whether all parts but the last must have one size. `Observed`: Cloudflare R2.
    pub equal_parts: bool,
    /// The least size of a part that is not the last.
    pub part_bytes_min: u64,
    /// Seconds that the server's clock, which stamps objects, is ahead of the machine's.
    pub clock_skew_seconds: i64,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// Whether requests are logged. Off for benches.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: "kiln-test".to_owned(),
            access_key: "kiln-test-key".to_owned(),
            secret_key: "kiln-test-secret".to_owned(),
            threads: 2,
            directory: None,
            conditions: Conditions::Full,
            equal_parts: false,
            part_bytes_min: PART_BYTES_MIN,
            clock_skew_seconds: 0,
            faults: Faults::none(),
            log: true,
        }
    }
}
