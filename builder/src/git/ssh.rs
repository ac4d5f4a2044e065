// SPDX-License-Identifier: Apache-2.0
//! How git calls `ssh`: without configuration, with no keys but those of the agent that was given,
//! and with a memory of hosts.
//!
//! A host that is seen for the first time is believed and remembered; from then on its key counts.
//! `Ours:` BuildKit asks the host for its key just before, which proves nothing, or checks nothing.
//! Host keys that come with the operation count alone.
//!
//! Docs: `ssh_config(5)`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::command::Surroundings;
use super::source::GitSource;

/// The file of remembered hosts, in the directory of everything that is kept for git.
const FILE: &str = "known_hosts";

/// The hosts that are believed.
#[derive(Debug)]
pub(super) struct KnownHosts {
    files: Vec<PathBuf>,
    /// Keys that came with the operation, as a file that lives as long as this.
    given: Option<NamedTempFile>,
}

impl KnownHosts {
    /// Returns the hosts that count for `source`; of interest to ssh alone.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub(super) fn new(source: &GitSource, surroundings: &Surroundings<'_>) -> io::Result<Self> {
        let mut hosts = Self {
            files: Vec::new(),
            given: None,
        };
        if !source.remote.is_ssh() {
            return Ok(hosts);
        }
        fs::create_dir_all(surroundings.state)?;
        if let Some(keys) = &source.known_hosts {
            let mut file = NamedTempFile::new_in(surroundings.state)?;
            file.write_all(keys.as_bytes())?;
            hosts.files.push(file.path().to_owned());
            hosts.given = Some(file);
            return Ok(hosts);
        }
        hosts.files.push(surroundings.state.join(FILE));
        let trusted = &surroundings.options.known_hosts;
        hosts.files.extend(trusted.iter().cloned());
        Ok(hosts)
    }

    /// Returns the command for `GIT_SSH_COMMAND`, which a shell reads.
    pub(super) fn command(&self) -> String {
        let files: Vec<String> = self
            .files
            .iter()
            .filter(|path| is_plain(path))
            .map(|path| format!("\"{}\"", path.display()))
            .collect();
        let files = if files.is_empty() {
            "none".to_owned()
        } else {
            files.join(" ")
        };
        let (global, unknown) = match self.given {
            Some(_) => ("none", "yes"),
            None => ("/etc/ssh/ssh_known_hosts", "accept-new"),
        };
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=20 \
             -o IdentityFile=none -o GlobalKnownHostsFile={global} \
             -o StrictHostKeyChecking={unknown} -o 'UserKnownHostsFile={files}'"
        )
    }
}

/// Tells whether neither the shell nor ssh takes a character of a path for more than itself.
fn is_plain(path: &Path) -> bool {
    let is_odd = |c: char| c.is_control() || "\"'\\%$".contains(c);
    path.to_str().is_some_and(|path| !path.contains(is_odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_break_out_of_the_command() {
        let hosts = KnownHosts {
            files: vec!["/a b/known".into(), "/x'; rm -rf /; '".into(), "/%h".into()],
            given: None,
        };
        let command = hosts.command();
        assert!(
            command.ends_with("-o 'UserKnownHostsFile=\"/a b/known\"'"),
            "{command}"
        );
        assert!(command.contains("-o IdentityFile=none"), "{command}");
    }
}
