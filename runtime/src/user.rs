// SPDX-License-Identifier: Apache-2.0
//! The Dockerfile's USER → numbers, from the image's own passwd and group files.
//!
//! No name service: the files are opened inside the root, must be regular and small, and
//! malformed lines are skipped. The first matching line wins.
//!
//! Docs: moby's `user.GetExecUser`, whose rules these are. Spec: `passwd(5)`, `group(5)`.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// Larger passwd or group files are treated as absent.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Docs: moby, `maxID`.
const ID_MAX: u32 = i32::MAX.cast_unsigned();

/// Who a step runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one first: a file may deny a group what it grants others,
    /// so a process must not be without its own (CVE-2023-25173).
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Why a USER has no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserProblem {
    UnknownUser,
    UnknownGroup,
    OutOfRange,
}

/// Returns a file of the root, or nothing if it is absent, strange or too large.
pub(crate) fn read_small_file(root: BorrowedFd<'_>, path: &str) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(fd) = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) else {
        return Vec::new();
    };
    let acceptable = rustix::fs::fstat(&fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && u64::try_from(stat.st_size).is_ok_and(|size| size <= FILE_BYTES_MAX)
    });
    let mut content = Vec::new();
    if acceptable {
        let file = std::fs::File::from(fd);
        let mut limited = std::io::Read::take(file, FILE_BYTES_MAX);
        if std::io::Read::read_to_end(&mut limited, &mut content).is_err() {
            content.clear();
        }
    }
    content
}

struct Account<'line> {
    name: &'line str,
    uid: u32,
    gid: u32,
    home: &'line str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let _comment = fields.next();
        let home = fields.next().unwrap_or_default();
        Some(Account {
            name,
            uid,
            gid,
            home,
        })
    })
}

struct Group<'line> {
    name: &'line str,
    gid: u32,
    members: &'line str,
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let _password = fields.next()?;
        let gid = fields.next()?.parse().ok()?;
        let members = fields.next().unwrap_or_default();
        Some(Group { name, gid, members })
    })
}

fn in_range(id: u32) -> Result<u32, UserProblem> {
    if id <= ID_MAX {
        Ok(id)
    } else {
        Err(UserProblem::OutOfRange)
    }
}

/// Returns the number that `text` is, if it is all digits.
fn number(text: &str) -> Option<Result<u32, UserProblem>> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().map_err(|_| UserProblem::OutOfRange))
        .map(|parsed| parsed.and_then(in_range))
}

/// Resolves `user` (a USER instruction's argument, or empty for root) against the two files.
pub(crate) fn resolve(user: &str, passwd: &[u8], group: &[u8]) -> Result<Identity, UserProblem> {
    let (passwd, group) = (
        String::from_utf8_lossy(passwd),
        String::from_utf8_lossy(group),
    );
    let (user_part, group_part) = user.split_once(':').unwrap_or((user, ""));
    let user_part = if user_part.is_empty() { "0" } else { user_part };
    let uid = number(user_part).transpose()?;
    let account = accounts(&passwd).find(|account| match uid {
        Some(uid) => account.uid == uid,
        None => account.name == user_part,
    });
    let mut identity = match (&account, uid) {
        (Some(account), _) => Identity {
            uid: in_range(account.uid)?,
            gid: in_range(account.gid)?,
            groups: Vec::new(),
            home: account.home.to_owned(),
        },
        (None, Some(uid)) => Identity {
            uid,
            gid: 0,
            groups: Vec::new(),
            home: "/".to_owned(),
        },
        (None, None) if user_part == "root" => root(),
        (None, None) => return Err(UserProblem::UnknownUser),
    };
    if identity.home.is_empty() {
        "/".clone_into(&mut identity.home);
    }
    if !group_part.is_empty() {
        let gid = number(group_part).transpose()?;
        let found = groups(&group).find(|group| group.name == group_part);
        identity.gid = match (gid, found) {
            (Some(gid), _) => gid,
            (None, Some(group)) => in_range(group.gid)?,
            (None, None) => return Err(UserProblem::UnknownGroup),
        };
    } else if let Some(account) = account {
        identity.groups = groups(&group)
            .filter(|group| group.members.split(',').any(|name| name == account.name))
            .map(|group| group.gid)
            .filter(|&gid| gid <= ID_MAX && gid != identity.gid)
            .collect();
    }
    identity.groups.insert(0, identity.gid);
    Ok(identity)
}

/// Root of an image without a passwd file.
fn root() -> Identity {
    Identity {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        home: "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, UserProblem, resolve};

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken:x:notanumber:0::/:\n\
        app:x:1000:1001::/home/app:/bin/sh\napp2:x:1000:7::/elsewhere:\nhuge:x:4294967295:0::/:\n";
    const GROUP: &[u8] =
        b"root:x:0:\nadm:x:4:app,other\nvideo:x:44:app\napp:x:1001:app\nbig:x:9:\n";

    fn identity(uid: u32, groups: &[u32], home: &str) -> Identity {
        Identity {
            uid,
            gid: groups[0],
            groups: groups.to_vec(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn user_forms() {
        for (user, expected) in [
            ("", Ok(identity(0, &[0], "/root"))),
            ("root", Ok(identity(0, &[0], "/root"))),
            ("app", Ok(identity(1000, &[1001, 4, 44], "/home/app"))),
            ("1000", Ok(identity(1000, &[1001, 4, 44], "/home/app"))),
            ("app:big", Ok(identity(1000, &[9], "/home/app"))),
            ("app:77", Ok(identity(1000, &[77], "/home/app"))),
            ("4242", Ok(identity(4242, &[0], "/"))),
            ("4242:4243", Ok(identity(4242, &[4243], "/"))),
            (":big", Ok(identity(0, &[9], "/root"))),
            ("nobody", Err(UserProblem::UnknownUser)),
            ("app:nothing", Err(UserProblem::UnknownGroup)),
            ("broken", Err(UserProblem::UnknownUser)),
            ("huge", Err(UserProblem::OutOfRange)),
            ("4294967295", Err(UserProblem::OutOfRange)),
            ("99999999999999999999", Err(UserProblem::OutOfRange)),
        ] {
            assert_eq!(resolve(user, PASSWD, GROUP), expected, "USER {user}");
        }
    }

    #[test]
    fn image_without_files_has_root_only() {
        assert_eq!(resolve("", b"", b""), Ok(identity(0, &[0], "/")));
        assert_eq!(resolve("root", b"", b""), Ok(identity(0, &[0], "/")));
        assert_eq!(resolve("app", b"", b""), Err(UserProblem::UnknownUser));
        assert_eq!(
            resolve("x", &[0xff, b':', b'\n'], b"::::"),
            Err(UserProblem::UnknownUser)
        );
    }
}
