// SPDX-License-Identifier: Apache-2.0
//! Per-process limits of a step.
//!
//! `nofile` starts at 1024 unless set: programs that close every possible descriptor take minutes
//! with the millions that some hosts allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::step::{Ulimit, UlimitKind};

const NOFILE_SOFT: u64 = 1024;

fn resource(kind: UlimitKind) -> Resource {
    match kind {
        UlimitKind::Core => Resource::Core,
        UlimitKind::Cpu => Resource::Cpu,
        UlimitKind::Data => Resource::Data,
        UlimitKind::Fsize => Resource::Fsize,
        UlimitKind::Locks => Resource::Locks,
        UlimitKind::Memlock => Resource::Memlock,
        UlimitKind::Msgqueue => Resource::Msgqueue,
        UlimitKind::Nice => Resource::Nice,
        UlimitKind::Nofile => Resource::Nofile,
        UlimitKind::Nproc => Resource::Nproc,
        UlimitKind::Rss => Resource::Rss,
        UlimitKind::Rtprio => Resource::Rtprio,
        UlimitKind::Rttime => Resource::Rttime,
        UlimitKind::Sigpending => Resource::Sigpending,
        UlimitKind::Stack => Resource::Stack,
    }
}

/// Returns the limits to set, in the zygote.
pub(crate) fn plan(ulimits: &[Ulimit]) -> Vec<(Resource, Rlimit)> {
    let mut limits = Vec::new();
    if !ulimits.iter().any(|limit| limit.kind == UlimitKind::Nofile) {
        let inherited = getrlimit(Resource::Nofile);
        let soft = inherited
            .maximum
            .map_or(NOFILE_SOFT, |hard| hard.min(NOFILE_SOFT));
        limits.push((
            Resource::Nofile,
            Rlimit {
                current: Some(soft),
                maximum: inherited.maximum,
            },
        ));
    }
    for limit in ulimits {
        limits.push((
            resource(limit.kind),
            Rlimit {
                current: limit.soft,
                maximum: limit.hard,
            },
        ));
    }
    limits
}

/// Sets the limits in the new process. Where the hard limit cannot be raised, the inherited one
/// stays and the soft limit goes as near as it can.
pub(crate) fn set(limits: &[(Resource, Rlimit)]) {
    for &(resource, limit) in limits {
        if setrlimit(resource, limit).is_ok() {
            continue;
        }
        let maximum = getrlimit(resource).maximum;
        let current = match (limit.current, maximum) {
            (Some(soft), Some(hard)) => Some(soft.min(hard)),
            (soft, hard) => soft.or(hard),
        };
        // Without CAP_SYS_RESOURCE this is all that can be had.
        setrlimit(resource, Rlimit { current, maximum }).ok();
    }
}
