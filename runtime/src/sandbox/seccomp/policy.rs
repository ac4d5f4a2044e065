// SPDX-License-Identifier: Apache-2.0
//! What happens to each system call number.
//!
//! Docs: moby's default profile. Three deviations, all stricter or equal:
//! 1. Arguments are compared in their lower 32 bits, which is all that the kernel reads of
//!    `socket`'s family and `personality`'s value; a 64-bit comparison can be fooled.
//! 2. Architectures without a table (32-bit ARM) answer `ENOSYS` to everything.
//! 3. Numbers of x32 share the entries of `x86_64`: where the kernel has the call it is the same.

use super::table::{LAST_KNOWN, ROWS, X32_FROM_512};

/// What the filter does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Fails with this errno.
    Errno(u16),
    /// Allowed unless the first argument has a bit of the mask, else `EPERM`.
    UnlessBits(u32),
    /// Allowed if the first argument is one of these, else `EPERM`.
    OneOf(&'static [u32]),
    /// Allowed unless the first argument is one of these, else `EPERM`.
    NoneOf(&'static [u32]),
}

/// An instruction set with its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    I386,
    Aarch64,
}

/// The numbers of one architecture, as ranges that cover everything from 0 on.
#[derive(Debug)]
pub(super) struct Dialect {
    /// `AUDIT_ARCH_*`, as the kernel names it to filters.
    pub(super) audit: u32,
    /// Bits of the number to ignore (the x32 marker).
    pub(super) ignored_bits: u32,
    /// First number of each range and its verdict, ascending, beginning with 0.
    pub(super) ranges: Vec<(u32, Verdict)>,
}

/// New user, mount, pid, net, ipc, uts and cgroup namespaces.
const CLONE_NAMESPACES: u32 = 0x7e02_0000;
/// Default, `UNAME26`, Linux 32-bit, both, and "only tell me".
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// `AF_ALG`, which has had too many holes, and `AF_VSOCK`, which reaches the hypervisor.
const CLOSED_FAMILIES: &[u32] = &[38, 40];
const X32_MARKER: u32 = 0x4000_0000;
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// Returns the architectures whose programs this machine runs, the commonest first.
pub(super) fn native_architectures() -> &'static [Architecture] {
    if cfg!(target_arch = "aarch64") {
        &[Architecture::Aarch64]
    } else {
        &[Architecture::X86_64, Architecture::I386]
    }
}

fn verdict(name: &str) -> Verdict {
    match name {
        "clone" => Verdict::UnlessBits(CLONE_NAMESPACES),
        // Its flags are behind a pointer; libc falls back to clone on ENOSYS.
        "clone3" => Verdict::Errno(ENOSYS),
        "personality" => Verdict::OneOf(PERSONALITIES),
        "socket" => Verdict::NoneOf(CLOSED_FAMILIES),
        _ => Verdict::Allow,
    }
}

/// Returns the policy in the numbers of `architecture`.
pub(super) fn dialect(architecture: Architecture) -> Dialect {
    let mut verdicts = vec![Verdict::Errno(EPERM); LAST_KNOWN as usize + 1];
    let mut audit_and_ignored = (0xc000_003e, X32_MARKER);
    for &(name, x86_64, i386, aarch64) in ROWS {
        let number = match architecture {
            Architecture::X86_64 => x86_64,
            Architecture::I386 => i386,
            Architecture::Aarch64 => aarch64,
        };
        if let Some(entry) = usize::try_from(number)
            .ok()
            .and_then(|number| verdicts.get_mut(number))
        {
            *entry = verdict(name);
        }
    }
    match architecture {
        Architecture::X86_64 => {
            verdicts.resize(512, Verdict::Errno(ENOSYS));
            verdicts.extend(X32_FROM_512.iter().map(|name| {
                let known = ROWS.iter().any(|row| row.0 == *name);
                if known {
                    verdict(name)
                } else {
                    Verdict::Errno(EPERM)
                }
            }));
        }
        Architecture::I386 => audit_and_ignored = (0x4000_0003, 0),
        Architecture::Aarch64 => audit_and_ignored = (0xc000_00b7, 0),
    }
    verdicts.push(Verdict::Errno(ENOSYS));
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for (number, &verdict) in (0..).zip(&verdicts) {
        if ranges.last().is_none_or(|last| last.1 != verdict) {
            ranges.push((number, verdict));
        }
    }
    Dialect {
        audit: audit_and_ignored.0,
        ignored_bits: audit_and_ignored.1,
        ranges,
    }
}
