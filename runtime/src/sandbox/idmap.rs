// SPDX-License-Identifier: Apache-2.0
//! Moving this process into a user namespace of its own, where it is root over many ids.
//!
//! Inside, 0 is the caller's own id and 1, 2, … are the subordinate ids that `/etc/subuid` and
//! `/etc/subgid` grant it. The maps are written by `newuidmap` and `newgidmap`, which only a
//! process outside the namespace may use, hence the helper. Costs 4–11 ms, once.
//!
//! Docs: `user_namespaces(7)`, `newuidmap(1)`, `subuid(5)`.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustix::process::{Gid, Pid, Uid, getegid, geteuid, getpid};
use rustix::thread::CapabilitySet;

use super::capabilities;
use crate::sys;
use crate::zygote::EnterError;

/// Consecutive ids of the outer namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    length: u32,
}

/// Returns the ranges of a subid file that belong to the user, by name or number.
fn parse_subordinate(content: &str, name: Option<&str>, id: u32) -> Vec<Range> {
    content
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let start = fields.next()?.parse().ok()?;
            let length = fields.next()?.parse().ok()?;
            let own = Some(owner) == name || owner.parse() == Ok(id);
            (own && length > 0).then_some(Range { start, length })
        })
        .collect()
}

/// The arguments of `newuidmap` after the process id: inside, outside, length, for each range.
fn map(own: u32, ranges: &[Range]) -> Vec<[u32; 3]> {
    let mut map = vec![[0, own, 1]];
    let mut inside: u32 = 1;
    for range in ranges {
        map.push([inside, range.start, range.length]);
        let Some(next) = inside.checked_add(range.length) else {
            break;
        };
        inside = next;
    }
    map
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Moves this single-threaded process into new user and mount namespaces and makes it root there.
pub(crate) fn enter() -> Result<(), EnterError> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let maps = Maps::find(uid, gid)?;
    let (mut ready, tell) = pipe()?;
    let parent = getpid();
    let Some(helper) = sys::fork().map_err(EnterError::fork)? else {
        drop(tell);
        let go = matches!(ready.read(&mut [0]), Ok(1));
        sys::exit(if go { maps.write(parent) } else { 1 });
    };
    drop(ready);
    let namespaces = rustix::thread::UnshareFlags::NEWUSER | rustix::thread::UnshareFlags::NEWNS;
    let unshared = sys::unshare(namespaces);
    let mut tell = tell;
    let told = unshared.is_ok() && tell.write_all(b"x").is_ok();
    drop(tell);
    let status = wait(helper);
    unshared.map_err(EnterError::NoUserNamespace)?;
    if !told || status != Some(0) {
        return Err(EnterError::MapFailed {
            program: if status == Some(GID_MAP_FAILED) {
                "newgidmap"
            } else {
                "newuidmap"
            },
        });
    }
    become_root().map_err(EnterError::Identity)?;
    super::namespaces::make_mounts_follow().map_err(EnterError::Mounts)
}

fn wait(helper: i32) -> Option<i32> {
    let pid = Pid::from_raw(helper)?;
    let options = rustix::process::WaitOptions::empty();
    loop {
        match rustix::process::waitpid(Some(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some((_, status))) => return status.exit_status(),
            _ => return None,
        }
    }
}

fn pipe() -> Result<(std::fs::File, std::fs::File), EnterError> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(EnterError::fork)?;
    Ok((read.into(), write.into()))
}

fn become_root() -> Result<(), rustix::io::Errno> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

const UID_MAP_FAILED: i32 = 2;
const GID_MAP_FAILED: i32 = 3;

/// What the helper writes.
struct Maps {
    uid: Vec<[u32; 3]>,
    gid: Vec<[u32; 3]>,
    /// Root of a container can write the maps itself.
    direct: bool,
}

impl Maps {
    fn find(uid: u32, gid: u32) -> Result<Self, EnterError> {
        let held = capabilities::held();
        if uid == 0 && held.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) {
            return Ok(Self {
                uid: outer_map("/proc/self/uid_map"),
                gid: outer_map("/proc/self/gid_map"),
                direct: true,
            });
        }
        let name = user_name(uid);
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let uids = parse_subordinate(&read("/etc/subuid"), name.as_deref(), uid);
        let gids = parse_subordinate(&read("/etc/subgid"), name.as_deref(), uid);
        if uids.is_empty() || gids.is_empty() {
            return Err(EnterError::NoSubordinateIds {
                user: name.unwrap_or_else(|| uid.to_string()),
            });
        }
        Ok(Self {
            uid: map(uid, &uids),
            gid: map(gid, &gids),
            direct: false,
        })
    }

    /// Writes both maps for `parent`; returns the helper's exit code.
    fn write(&self, parent: Pid) -> i32 {
        let write_one = |program: &str, file: &str, map: &[[u32; 3]]| {
            if self.direct {
                let lines: Vec<_> = map
                    .iter()
                    .map(|[inside, outside, length]| format!("{inside} {outside} {length}"))
                    .collect();
                let path = format!("/proc/{}/{file}", parent.as_raw_nonzero());
                return std::fs::write(path, lines.join("\n")).is_ok();
            }
            Command::new(program)
                .arg(parent.as_raw_nonzero().to_string())
                .args(map.iter().flatten().map(u32::to_string))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if !write_one("newuidmap", "uid_map", &self.uid) {
            return UID_MAP_FAILED;
        }
        if !write_one("newgidmap", "gid_map", &self.gid) {
            return GID_MAP_FAILED;
        }
        0
    }
}

/// Every id of the current namespace, each mapped to itself.
fn outer_map(path: &str) -> Vec<[u32; 3]> {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let inside = numbers.next()?.ok()?;
            let length = numbers.nth(1)?.ok()?;
            Some([inside, inside, length])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Range, map, parse_subordinate};

    #[test]
    fn subordinate_ids_by_name_and_number() {
        let content = "ann:100000:65536\nbob:200000:10\n1000:300000:5\nann:bad:1\nann:1\nann:7:0\n";
        let range = |start, length| Range { start, length };
        for (name, id, expected) in [
            (
                Some("ann"),
                1000,
                vec![range(100_000, 65_536), range(300_000, 5)],
            ),
            (Some("bob"), 7, vec![range(200_000, 10)]),
            (None, 9, vec![]),
        ] {
            assert_eq!(parse_subordinate(content, name, id), expected, "{name:?}");
        }
    }

    #[test]
    fn own_id_is_root_and_ranges_follow_each_other() {
        let ranges = [
            Range {
                start: 100_000,
                length: 10,
            },
            Range {
                start: 500_000,
                length: 5,
            },
        ];
        assert_eq!(
            map(1000, &ranges),
            [[0, 1000, 1], [1, 100_000, 10], [11, 500_000, 5]]
        );
    }
}
