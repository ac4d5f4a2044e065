// SPDX-License-Identifier: Apache-2.0
//! What a step sees of the network: the loopback interface of its own namespace, `/etc/hosts` and
//! `/etc/resolv.conf`.

use std::fmt::Write;
use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::sys;

/// Larger host files are cut: libc stops reading long before.
const RESOLV_CONF_BYTES_MAX: u64 = 64 << 10;

/// Brings up loopback in a new network namespace. In the new process.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    let kind = SocketType::DGRAM;
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    sys::loopback_up(std::os::fd::AsFd::as_fd(&socket))
}

/// Returns the host's `resolv.conf`, empty if it has none. A resolver on the host's loopback stays
/// reachable, since a step with a network has the host's.
pub(crate) fn resolv_conf() -> Vec<u8> {
    let mut content = Vec::new();
    let Ok(file) = std::fs::File::open("/etc/resolv.conf") else {
        return content;
    };
    let mut limited = std::io::Read::take(file, RESOLV_CONF_BYTES_MAX);
    if std::io::Read::read_to_end(&mut limited, &mut content).is_err() {
        content.clear();
    }
    content
}

/// Returns `/etc/hosts` for a step. Observed: the form that BuildKit writes.
pub(crate) fn hosts(hostname: &str, extra_hosts: &[(String, IpAddr)]) -> Vec<u8> {
    let mut content =
        format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra_hosts {
        writeln!(content, "{address}\t{name}").expect("a string takes everything");
    }
    content.into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn hosts_names_the_step_and_the_extra_hosts() {
        let extra = [("db".to_owned(), "10.0.0.7".parse().unwrap())];
        let content = String::from_utf8(super::hosts("box", &extra)).unwrap();
        assert!(content.starts_with("127.0.0.1\tlocalhost box\n"));
        assert!(content.ends_with("10.0.0.7\tdb\n"));
    }
}
