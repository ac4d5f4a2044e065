// SPDX-License-Identifier: Apache-2.0
//! What fetching from git may use of this machine, as values.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What fetching from git may use of this machine.
#[derive(Clone, Default)]
pub struct GitOptions {
    /// Where `git` and `ssh` are looked for (`PATH`); none for the usual directories.
    pub path: Option<OsString>,
    /// Proxy variables, as git and curl read them.
    pub proxies: Vec<(String, String)>,
    /// Certificates that https servers are checked against; none for those of `git`.
    pub ca_bundle: Option<PathBuf>,
    /// Files with ssh host keys that the user trusts.
    pub known_hosts: Vec<PathBuf>,
}

/// Without the values of proxies, which may hold passwords.
impl fmt::Debug for GitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxies: Vec<&str> = self.proxies.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("GitOptions")
            .field("path", &self.path)
            .field("proxies", &proxies)
            .field("ca_bundle", &self.ca_bundle)
            .field("known_hosts", &self.known_hosts)
            .finish()
    }
}
