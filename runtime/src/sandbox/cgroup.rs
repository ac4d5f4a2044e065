// SPDX-License-Identifier: Apache-2.0
//! Control groups: memory, process and processor limits, where this machine has them.
//!
//! Takes v2, v1, both at once or none. Groups are made below the zygote's own or the parent that the
//! step names, only for a step that asks for a limit or a parent; killing a step needs none, its PID namespace does that. A limit that
//! cannot be had is reported, never a failure.
//!
//! Docs: kernel `cgroup-v2.rst`, `cgroup-v1/`; `cgroups(7)`, `proc_pid_mountinfo(5)`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::step::Limits;

/// Microseconds of one accounting period.
const CPU_PERIOD_US: u64 = 100_000;

/// One hierarchy that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Empty for v2.
    controllers: Vec<String>,
    /// The directory of this process's own group.
    own: PathBuf,
    /// The directory of the topmost group that can be seen.
    top: PathBuf,
}

/// The hierarchies of this machine.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    made: u64,
}

/// The groups of one step.
#[derive(Debug, Default)]
pub(crate) struct StepCgroups {
    /// `cgroup.procs` files, opened for the new process to put itself in.
    pub(crate) procs: Vec<OwnedFd>,
    directories: Vec<PathBuf>,
    /// Names of limits that could not be set.
    pub(crate) unenforced: Vec<String>,
}

impl Cgroups {
    /// Reads where this process is.
    pub(crate) fn find() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            hierarchies: parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")),
            made: 0,
        }
    }

    /// Makes the groups that `limits` needs.
    pub(crate) fn prepare(&mut self, limits: &Limits) -> StepCgroups {
        let mut step = StepCgroups::default();
        self.made += 1;
        let name = format!("kiln-{}-{}", std::process::id(), self.made);
        let own = self.hierarchies.iter();
        let mut places: Vec<PathBuf> = own.map(|hierarchy| hierarchy.own.clone()).collect();
        if let Some(parent) = limits.cgroup_parent.as_deref().and_then(relative) {
            let tops = self.hierarchies.iter().map(|hierarchy| &hierarchy.top);
            places = tops.map(|top| top.join(parent)).collect();
            let mut entered = false;
            for place in &places {
                // Where it cannot be made it cannot be entered either.
                std::fs::create_dir_all(place).ok();
                entered |= step.enter(&place.join(&name));
            }
            if !entered {
                step.unenforced.push("cgroup-parent".to_owned());
            }
        }
        let places: Vec<PathBuf> = places.iter().map(|place| place.join(&name)).collect();
        if let Some(bytes) = limits.memory_bytes {
            let v2 = [
                ("memory.max", bytes.to_string()),
                ("memory.oom.group", "1".to_owned()),
            ];
            let v1 = [("memory.limit_in_bytes", bytes.to_string())];
            self.limit("memory", &places, [&v2, &v1], &mut step);
        }
        if let Some(max) = limits.pids_max {
            let setting = [("pids.max", max.to_string())];
            self.limit("pids", &places, [&setting, &setting], &mut step);
        }
        if let Some(quota) = limits.cpu_quota_us {
            let v2 = [("cpu.max", format!("{quota} {CPU_PERIOD_US}"))];
            let v1 = [
                ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ];
            self.limit("cpu", &places, [&v2, &v1], &mut step);
        }
        step
    }

    /// Sets one limit in the first hierarchy that takes it, in the group of the step there; v2's
    /// files come first.
    fn limit(
        &self,
        controller: &str,
        places: &[PathBuf],
        settings: [&[(&str, String)]; 2],
        step: &mut StepCgroups,
    ) {
        let enforced = self
            .hierarchies
            .iter()
            .zip(places)
            .any(|(hierarchy, directory)| {
                let [v2, v1] = settings;
                let is_v2 = hierarchy.controllers.is_empty();
                if is_v2 {
                    // Fails if already done elsewhere or impossible; the setting then tells.
                    let above = directory.parent().unwrap_or(directory);
                    write(
                        &above.join("cgroup.subtree_control"),
                        &format!("+{controller}"),
                    )
                    .ok();
                } else if !hierarchy.controllers.iter().any(|name| name == controller) {
                    return false;
                }
                let chosen = if is_v2 { v2 } else { v1 };
                step.enter(directory) && {
                    let mut settings = chosen.iter();
                    settings.all(|(file, value)| {
                        write(&directory.join(file), value).is_ok() || *file == "memory.oom.group"
                    })
                }
            });
        if !enforced {
            step.unenforced.push(controller.to_owned());
        }
    }
}

impl StepCgroups {
    /// Makes `directory` if this step has not, and opens it for entering.
    fn enter(&mut self, directory: &Path) -> bool {
        if self.directories.iter().any(|made| made == directory) {
            return true;
        }
        if rustix::fs::mkdirat(CWD, directory, Mode::from_raw_mode(0o755)).is_err() {
            return false;
        }
        self.directories.push(directory.to_owned());
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let procs = rustix::fs::openat(CWD, directory.join("cgroup.procs"), flags, Mode::empty());
        procs.map(|fd| self.procs.push(fd)).is_ok()
    }

    /// Removes the groups once the step is dead; returns those still busy, to try again later.
    pub(crate) fn remove(mut self) -> Option<Self> {
        self.procs.clear();
        self.directories.retain(|directory| {
            let flags = rustix::fs::AtFlags::REMOVEDIR;
            rustix::fs::unlinkat(CWD, directory, flags) == Err(rustix::io::Errno::BUSY)
        });
        (!self.directories.is_empty()).then_some(self)
    }
}

/// Puts this process into the groups, in the new process.
pub(crate) fn join(procs: &[OwnedFd]) {
    for fd in procs {
        // A group that vanished limits nothing; the step still runs.
        rustix::io::write(fd, b"0").ok();
    }
}

/// Returns a parent group as a path below the top; none if it leads out of it, or is the top.
fn relative(parent: &str) -> Option<&Path> {
    let path = Path::new(parent.trim_start_matches('/'));
    let mut parts = path.components();
    let inside = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
    (inside && !path.as_os_str().is_empty()).then_some(path)
}

fn write(path: &Path, value: &str) -> Result<(), rustix::io::Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    rustix::io::write(fd, value.as_bytes()).map(drop)
}

/// Joins the two files: v2 first, since a controller is in one hierarchy only.
fn parse(cgroup: &str, mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = cgroup
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let _number = fields.next()?;
            let controllers = fields.next()?;
            let own = fields.next()?;
            if controllers.starts_with("name=") {
                return None;
            }
            let controllers: Vec<String> = controllers
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            let (root, mount_point) = mount_of(&controllers, mountinfo)?;
            let below = Path::new(own).strip_prefix(root).ok()?;
            Some(Hierarchy {
                controllers,
                own: Path::new(mount_point).join(below),
                top: mount_point.into(),
            })
        })
        .collect();
    found.sort_by_key(|hierarchy| !hierarchy.controllers.is_empty());
    found
}

/// Returns root and mount point of the hierarchy with `controllers`.
fn mount_of<'line>(
    controllers: &[String],
    mountinfo: &'line str,
) -> Option<(&'line str, &'line str)> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = filesystem.split(' ');
        let kind = fields.next()?;
        let options: Vec<&str> = fields.nth(1)?.split(',').collect();
        let matches = match controllers.first() {
            None => kind == "cgroup2",
            Some(first) => kind == "cgroup" && options.contains(&first.as_str()),
        };
        let mut fields = mount.split(' ').skip(3);
        matches.then_some((fields.next()?, fields.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, relative};

    #[test]
    fn hybrid_and_pure_layouts() {
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n\
            36 30 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = parse(
            "9:name=systemd:/\n4:memory:/docker/x/y\n3:cpu:/\n0::/a\n",
            mountinfo,
        );
        let own: Vec<_> = found
            .iter()
            .map(|hierarchy| hierarchy.own.to_str().unwrap())
            .collect();
        assert_eq!(own, ["/sys/fs/cgroup/unified/a", "/sys/fs/cgroup/memory/y"]);
    }

    #[test]
    fn a_parent_stays_below_the_top() {
        for (parent, path) in [
            ("/a/b", Some("a/b")),
            ("a", Some("a")),
            ("/", None),
            ("a/../..", None),
            ("", None),
        ] {
            assert_eq!(relative(parent), path.map(std::path::Path::new), "{parent}");
        }
    }

    #[test]
    fn strange_files_are_no_groups() {
        for (cgroup, mountinfo) in [
            ("", ""),
            ("x", "y"),
            ("0::/a", "1 2 - cgroup2"),
            ("::", " - "),
        ] {
            assert_eq!(parse(cgroup, mountinfo), [], "{cgroup:?} {mountinfo:?}");
        }
    }
}
