// SPDX-License-Identifier: Apache-2.0
//! A [`Step`] → the [`Plan`] of its process, in the zygote, before the clone.
//!
//! Everything that can fail for a reason worth words, or that allocates, happens here.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::scratch::{BUILT_IN_DIRECTORIES, BUILT_IN_FILES, Scratch};
use super::wire::WindowSize;
use crate::failure::{Failure, Stage};
use crate::init::{Plan, PlannedMount};
use crate::sandbox::capabilities;
use crate::sandbox::cgroup::{Cgroups, StepCgroups};
use crate::sandbox::devices::Devices;
use crate::sandbox::mounts::overlay::{Layers, OverlayMaker, forget_volatile};
use crate::sandbox::mounts::place::{Leaf, open_plain_directory};
use crate::sandbox::mounts::source::{self, Attributes, Confinement, Tree};
use crate::sandbox::mounts::stub::{self, Made};
use crate::sandbox::{network, rlimits};
use crate::step::{CwdOwner, Mount, MountSource, Security, Step};
use crate::sys::ArgumentList;
use crate::user::{self, Identity, UserProblem};

/// Where programs are looked for if the environment has no `PATH`. Docs: BuildKit.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest path, as in the kernel, with room for the NUL.
const PATH_BYTES_MAX: usize = 4095;

/// What preparing steps needs and remembers.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) scratch: Scratch,
    pub(crate) overlays: OverlayMaker,
    pub(crate) cgroups: Cgroups,
}

/// A plan, and what is to be done when the step is over.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) flags: i32,
    pub(crate) remains: Remains,
    /// The user's side of the terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// What is left of a step in the zygote after its process was made.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) directory: PathBuf,
    pub(crate) made: Vec<Made>,
    pub(crate) cgroups: StepCgroups,
    /// Names for the indices in failures.
    pub(crate) targets: Vec<String>,
    pub(crate) program: String,
    pub(crate) user: String,
    pub(crate) cwd: String,
}

/// The step's streams, or the size of the terminal that replaces them.
#[derive(Debug)]
pub(crate) enum Streams {
    Given([OwnedFd; 3]),
    Terminal(WindowSize),
}

impl Preparer {
    /// Prepares everything. What is made on the way goes into `remains`, also on failure.
    pub(crate) fn prepare(
        &mut self,
        step: &Step,
        streams: Streams,
        report: OwnedFd,
    ) -> Result<Prepared, Failure> {
        check(step)?;
        let setup = Failure::at(Stage::RootFilesystem, "");
        let directory = self.scratch.new_step().map_err(setup)?;
        let mut remains = Remains {
            directory,
            program: step.args.first().cloned().unwrap_or_default(),
            user: step.user.clone(),
            cwd: step.cwd.clone(),
            ..Remains::default()
        };
        let result = self.plan(step, streams, report, &mut remains);
        match result {
            Ok((plan, terminal)) => Ok(Prepared {
                plan,
                flags: crate::sandbox::namespaces::clone_flags(step.network),
                remains,
                terminal,
            }),
            Err(failure) => {
                remains.clean();
                Err(failure)
            }
        }
    }

    fn plan(
        &mut self,
        step: &Step,
        streams: Streams,
        report: OwnedFd,
        remains: &mut Remains,
    ) -> Result<(Plan, Option<OwnedFd>), Failure> {
        let mounts = self.mounts(step, remains)?;
        let root = self.root(step, &mounts, remains)?;
        let identity = identity(root.as_fd(), &step.user)?;
        let has_terminal = matches!(streams, Streams::Terminal(_));
        let devices = Devices::prepare(step.shm_size_bytes, has_terminal)
            .map_err(Failure::at(Stage::Devices, ""))?;
        let (stdio, terminal) = match streams {
            Streams::Given(stdio) => (stdio, None),
            Streams::Terminal(size) => {
                let (user, stdio) =
                    open_terminal(&devices, size).map_err(Failure::at(Stage::Terminal, ""))?;
                (stdio, Some(user))
            }
        };
        remains.cgroups = self.cgroups.prepare(&step.limits);
        let insecure = step.security == Security::Insecure;
        let held = capabilities::held();
        let plan = Plan {
            report,
            cgroups: std::mem::take(&mut remains.cgroups.procs),
            network: step.network,
            hostname: text(&step.hostname)?,
            root,
            read_only_root: step.read_only_root,
            devices,
            mounts,
            stdio,
            has_terminal,
            cwd: text(&step.cwd)?,
            cwd_owner: match step.cwd_owner {
                CwdOwner::Root => (0, 0),
                CwdOwner::User => (identity.uid, identity.gid),
            },
            limits: rlimits::plan(&step.limits.ulimits),
            security: step.security,
            capabilities: if insecure {
                held
            } else {
                held & capabilities::DEFAULT
            },
            uid: Uid::from_raw(identity.uid),
            gid: Gid::from_raw(identity.gid),
            groups: identity
                .groups
                .iter()
                .chain(&step.extra_groups)
                .map(|&gid| Gid::from_raw(gid))
                .collect(),
            init: step.init,
            programs: programs(step)?,
            arguments: ArgumentList::new(texts(&step.args)?),
            environment: environment(step, &identity)?,
        };
        Ok((plan, terminal))
    }

    /// Opens the sources of all mounts, `/etc/hosts` and `/etc/resolv.conf` first, and adds their
    /// targets to the step's stub.
    fn mounts(&mut self, step: &Step, remains: &mut Remains) -> Result<Vec<PlannedMount>, Failure> {
        let [hosts, resolv_conf] = BUILT_IN_FILES;
        let readable = Attributes {
            mode: 0o644,
            uid: 0,
            gid: 0,
        };
        let content = network::hosts(&step.hostname, &step.extra_hosts);
        let hosts_tree =
            source::file(&remains.directory.join("hosts"), &content, readable).and_then(Tree::of);
        let resolv_tree = source::host_path(&self.scratch.resolv_conf()).and_then(Tree::of);
        let built_in = [(hosts, hosts_tree), (resolv_conf, resolv_tree)];
        let mut planned = Vec::with_capacity(step.mounts.len() + built_in.len());
        let mut add = |target: &str, tree: Tree, confinement: Confinement| {
            source::confine(&tree, confinement).map_err(Failure::at(Stage::MountSource, target))?;
            stub::add(&remains.directory.join("stub"), target, tree.leaf)
                .map_err(Failure::at(Stage::MountTarget, target))?;
            remains.targets.push(target.to_owned());
            planned.push(PlannedMount {
                target: text(target)?,
                tree: tree.fd,
                leaf: tree.leaf,
            });
            Ok(())
        };
        for (target, tree) in built_in {
            let tree = tree.map_err(Failure::at(Stage::MountSource, target))?;
            add(
                target,
                tree,
                Confinement {
                    read_only: true,
                    ..Confinement::default()
                },
            )?;
        }
        for (number, mount) in step.mounts.iter().enumerate() {
            let file = remains.directory.join(number.to_string());
            let tree = self.source(mount, &file)?;
            let confinement = Confinement {
                read_only: mount.read_only,
                recursive: matches!(mount.source, MountSource::HostPath(_)),
                devices: matches!(mount.source, MountSource::Device(_)),
            };
            add(&mount.target, tree, confinement)?;
        }
        Ok(planned)
    }

    fn source(&mut self, mount: &Mount, file: &Path) -> Result<Tree, Failure> {
        let tree = match &mount.source {
            MountSource::Overlay { overlay, selector } => {
                let layers =
                    source::open_layers(overlay, &[&self.scratch.empty(), &self.scratch.anchor()])?;
                self.overlays.make(&layers).and_then(|tree| {
                    source::select_detached(tree, selector, &self.scratch.anchor())
                })
            }
            MountSource::Directory { path, selector } => {
                crate::sandbox::mounts::overlay::open_directory(path)
                    .and_then(|at| source::select(at.as_fd(), selector))
            }
            MountSource::HostPath(path) => source::host_path(path),
            MountSource::Device(path) => source::device(path),
            &MountSource::Tmpfs {
                size_bytes,
                mode,
                uid,
                gid,
            } => source::tmpfs(size_bytes, Attributes { mode, uid, gid }),
            &MountSource::File {
                ref content,
                mode,
                uid,
                gid,
            } => source::file(file, content, Attributes { mode, uid, gid }),
        };
        tree.and_then(Tree::of)
            .map_err(Failure::at(Stage::MountSource, &mount.target))
    }

    /// Mounts the root, detached, such that every mount target exists.
    fn root(
        &mut self,
        step: &Step,
        mounts: &[PlannedMount],
        remains: &mut Remains,
    ) -> Result<OwnedFd, Failure> {
        let step_stub = remains.directory.join("stub");
        let layers = source::open_layers(&step.root, &[&step_stub, &self.scratch.stub()])?;
        let root = self.mount_root(&layers)?;
        let missing = missing_targets(root.as_fd(), remains, mounts)?;
        if missing.is_empty() {
            return Ok(root);
        }
        // A link of the image leads where nothing is: have the stub there, and look again.
        for (target, leaf) in &missing {
            stub::add(&step_stub, target, *leaf)
                .map_err(Failure::at(Stage::MountTarget, target))?;
        }
        drop(root);
        if let Some((_, work)) = &layers.upper {
            forget_volatile(work);
        }
        let root = self.mount_root(&layers)?;
        for (target, leaf) in missing_targets(root.as_fd(), remains, mounts)? {
            stub::make_in_root(root.as_fd(), &target, leaf, &mut remains.made)
                .map_err(Failure::at(Stage::MountTarget, &target))?;
        }
        Ok(root)
    }

    fn mount_root(&mut self, layers: &Layers) -> Result<OwnedFd, Failure> {
        self.overlays
            .make(layers)
            .map_err(Failure::at(Stage::RootFilesystem, ""))
    }
}

impl Remains {
    /// Removes everything once the process is gone. Returns control groups that are still busy.
    pub(crate) fn clean(self) -> Option<StepCgroups> {
        stub::remove(self.made);
        // In memory and out of everyone's reach; what stays costs a few bytes until the end.
        drop(std::fs::remove_dir_all(&self.directory));
        self.cgroups.remove()
    }
}

/// Refuses what cannot be passed on.
fn check(step: &Step) -> Result<(), Failure> {
    let refuse = |what: &str| Err(Failure::new(Stage::Request, what, Errno::INVAL));
    if step.args.first().is_none_or(String::is_empty) {
        return refuse("no program");
    }
    if step.mounts.len() >= usize::from(u16::MAX) - 2 {
        return refuse("too many mounts");
    }
    if !step.cwd.starts_with('/') || step.cwd.len() > PATH_BYTES_MAX {
        return refuse("a working directory that is not an absolute path");
    }
    if step
        .env
        .iter()
        .any(|(name, _)| name.is_empty() || name.contains('='))
    {
        return refuse("a variable without a name");
    }
    for mount in &step.mounts {
        if !mount.target.starts_with('/') || stub::components(&mount.target).next().is_none() {
            let subject = mount.target.as_str();
            return Err(Failure::new(Stage::MountTarget, subject, Errno::INVAL));
        }
    }
    Ok(())
}

/// Returns where the root lacks targets, with links on the way replaced. Built-in directories
/// must be the image's own, without links. Targets below another mount are left to the new process.
fn missing_targets(
    root: BorrowedFd<'_>,
    remains: &Remains,
    mounts: &[PlannedMount],
) -> Result<Vec<(String, Leaf)>, Failure> {
    let mut missing = Vec::new();
    for target in BUILT_IN_DIRECTORIES {
        match open_plain_directory(root, &text(target.trim_start_matches('/'))?) {
            Ok(_) => {}
            Err(Errno::NOENT) => missing.push((target.to_owned(), Leaf::Directory)),
            Err(errno) => return Err(Failure::new(Stage::MountTarget, target, errno)),
        }
    }
    for (number, (target, mount)) in remains.targets.iter().zip(mounts).enumerate() {
        let above = remains.targets.iter().take(number).map(String::as_str);
        if above
            .chain(BUILT_IN_DIRECTORIES)
            .any(|above| is_below(target, above))
        {
            continue;
        }
        let failed = |errno| Failure::new(Stage::MountTarget, target, errno);
        if !stub::is_there(root, target).map_err(failed)? {
            let place = stub::follow_links(root, target).map_err(failed)?;
            missing.push((place, mount.leaf));
        }
    }
    Ok(missing)
}

fn is_below(target: &str, above: &str) -> bool {
    let (mut target, mut above) = (stub::components(target), stub::components(above));
    above.all(|part| target.next() == Some(part))
}

fn identity(root: BorrowedFd<'_>, user: &str) -> Result<Identity, Failure> {
    let passwd = user::read_small_file(root, "/etc/passwd");
    let group = user::read_small_file(root, "/etc/group");
    user::resolve(user, &passwd, &group).map_err(|problem| {
        let errno = match problem {
            UserProblem::UnknownUser | UserProblem::UnknownGroup => Errno::NOENT,
            UserProblem::OutOfRange => Errno::RANGE,
        };
        Failure::new(Stage::User, user, errno)
    })
}

fn open_terminal(devices: &Devices, size: WindowSize) -> Result<(OwnedFd, [OwnedFd; 3]), Errno> {
    let (user, step) = devices.open_terminal()?;
    let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let size = rustix::termios::Winsize {
        ws_row: short(size.rows),
        ws_col: short(size.columns),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&user, size)?;
    let copy = || rustix::io::fcntl_dupfd_cloexec(&step, 3);
    let (output, error) = (copy()?, copy()?);
    Ok((user, [step, output, error]))
}

/// The paths to try for the program, in order.
fn programs(step: &Step) -> Result<Vec<CString>, Failure> {
    let program = step.args.first().map(String::as_str).unwrap_or_default();
    if program.contains('/') {
        return Ok(vec![text(program)?]);
    }
    let path = variable(step, "PATH").unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|directory| {
            let directory = if directory.is_empty() { "." } else { directory };
            text(&format!("{directory}/{program}"))
        })
        .collect()
}

fn variable<'step>(step: &'step Step, name: &str) -> Option<&'step str> {
    let mut found = step.env.iter().rev();
    found
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn environment(step: &Step, identity: &Identity) -> Result<ArgumentList, Failure> {
    let mut lines: Vec<String> = step
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if variable(step, "HOME").is_none_or(str::is_empty) {
        lines.retain(|line| line != "HOME=");
        lines.push(format!("HOME={}", identity.home));
    }
    texts(&lines).map(ArgumentList::new)
}

fn text(value: &str) -> Result<CString, Failure> {
    CString::new(value).map_err(|_| Failure::new(Stage::Request, "a NUL byte", Errno::INVAL))
}

fn texts(values: &[String]) -> Result<Vec<CString>, Failure> {
    values.iter().map(|value| text(value)).collect()
}
