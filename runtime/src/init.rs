// SPDX-License-Identifier: Apache-2.0
//! The new process between clone and exec.
//!
//! Invariants
//! 1. Nothing here allocates, takes a lock or panics: everything is in the [`Plan`], made by the
//!    zygote before the clone. So the code would be right even in the child of a threaded process.
//! 2. Until the last line the process holds the zygote's privileges; each line gives some up.
//! 3. A failure is written to the report pipe, which a successful exec closes.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid, WaitOptions};
use rustix::thread::CapabilitySet;

use crate::failure::{ChildFailure, Stage};
use crate::sandbox::devices::Devices;
use crate::sandbox::masks::{self, Masks};
use crate::sandbox::mounts::place::{
    Leaf, Making, attach, open_or_make, open_plain_directory, refuse_kernel_filesystems,
};
use crate::sandbox::mounts::{clone_tree, filesystem};
use crate::sandbox::{capabilities, cgroup, namespaces, network, rlimits};
use crate::step::{Network, Security};
use crate::sys::{self, ArgumentList, AttributeChange, Cloned, Filter};

/// Everything that the new process needs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) report: OwnedFd,
    pub(crate) cgroups: Vec<OwnedFd>,
    pub(crate) network: Network,
    pub(crate) hostname: CString,
    pub(crate) root: OwnedFd,
    pub(crate) read_only_root: bool,
    pub(crate) devices: Devices,
    pub(crate) mounts: Vec<PlannedMount>,
    pub(crate) stdio: [OwnedFd; 3],
    pub(crate) has_terminal: bool,
    pub(crate) cwd: CString,
    pub(crate) cwd_owner: (u32, u32),
    pub(crate) limits: Vec<(Resource, Rlimit)>,
    pub(crate) security: Security,
    pub(crate) capabilities: CapabilitySet,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
    pub(crate) init: bool,
    /// Paths to try, in order.
    pub(crate) programs: Vec<CString>,
    pub(crate) arguments: ArgumentList,
    pub(crate) environment: ArgumentList,
}

/// A tree and where it goes.
#[derive(Debug)]
pub(crate) struct PlannedMount {
    pub(crate) target: CString,
    pub(crate) tree: OwnedFd,
    pub(crate) leaf: Leaf,
}

/// What all steps share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) masks: Masks,
    pub(crate) filter: Vec<Filter>,
}

/// Turns the new process into the step.
pub(crate) fn run(plan: &Plan, shared: &Shared) -> ! {
    let Err(failure) = start(plan, shared);
    // If the zygote is gone there is nobody to tell.
    rustix::io::write(&plan.report, &failure.to_bytes()).ok();
    sys::exit(127)
}

type Never = std::convert::Infallible;

fn start(plan: &Plan, shared: &Shared) -> Result<Never, ChildFailure> {
    die_with_zygote();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    cgroup::join(&plan.cgroups);
    // Without it, paths of the host's groups show; not worth a failure.
    sys::unshare(rustix::thread::UnshareFlags::NEWCGROUP).ok();
    namespaces::make_mounts_private().map_err(ChildFailure::at(Stage::Namespaces))?;
    sys::set_hostname(&plan.hostname).map_err(ChildFailure::at(Stage::Network))?;
    if plan.network == Network::None {
        network::loopback_up().map_err(ChildFailure::at(Stage::Network))?;
    }
    mount_all(plan, shared)?;
    namespaces::enter_root(plan.root.as_fd()).map_err(ChildFailure::at(Stage::Pivot))?;
    enter_cwd(plan).map_err(ChildFailure::at(Stage::WorkingDirectory))?;
    take_stdio(plan)?;
    rlimits::set(&plan.limits);
    // A kernel may be built without keyrings.
    sys::join_session_keyring().ok();
    if plan.init {
        split_off_init(plan)?;
    }
    give_up_privileges(plan, shared)?;
    // The zygote has every action at its default; the mask is the init's.
    sys::set_signal_mask(false);
    die_with_zygote();
    // The report pipe stays open up to the exec, and is marked like all others.
    sys::close_on_exec_from(3).map_err(ChildFailure::at(Stage::Stdio))?;
    Err(ChildFailure::at(Stage::Program)(exec(plan)))
}

/// Has the kernel kill this process when the zygote dies. Forgotten at each change of identity.
fn die_with_zygote() {
    // The only failure is a bad signal number.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
}

/// Builds the tree. Absolute paths mean the zygote's view throughout: mounting over `/` changes
/// nothing for a process whose root is already open, until it enters.
fn mount_all(plan: &Plan, shared: &Shared) -> Result<(), ChildFailure> {
    let root = plan.root.as_fd();
    namespaces::attach_root(root).map_err(ChildFailure::at(Stage::RootFilesystem))?;
    let builtin = |path, stage| open_plain_directory(root, path).map_err(ChildFailure::at(stage));
    let proc_target = builtin(c"proc", Stage::Proc)?;
    let sys_target = builtin(c"sys", Stage::Sys)?;
    let dev_target = builtin(c"dev", Stage::Devices)?;
    let proc = mount_proc(proc_target.as_fd()).map_err(ChildFailure::at(Stage::Proc))?;
    let sys = mount_sys(sys_target.as_fd(), plan, shared).map_err(ChildFailure::at(Stage::Sys))?;
    let terminal = plan.has_terminal.then(|| plan.stdio[0].as_fd());
    plan.devices
        .mount(dev_target.as_fd(), terminal, plan.security)
        .map_err(ChildFailure::at(Stage::Devices))?;
    for (mount, index) in plan.mounts.iter().zip(0_u16..) {
        mount_one(plan, mount, index)?;
    }
    if plan.security == Security::Sandbox {
        let protect = || {
            shared.masks.hide_in_proc(proc.as_fd())?;
            masks::protect_proc(proc.as_fd())?;
            sys.as_ref()
                .map_or(Ok(()), |sys| shared.masks.hide_in_sys(sys.as_fd()))
        };
        protect().map_err(ChildFailure::at(Stage::Masks))?;
    }
    if plan.read_only_root {
        let change = AttributeChange {
            set: libc::MOUNT_ATTR_RDONLY,
            ..AttributeChange::default()
        };
        sys::mount_setattr(root, c"", false, change)
            .map_err(ChildFailure::at(Stage::RootFilesystem))?;
    }
    Ok(())
}

fn mount_one(plan: &Plan, mount: &PlannedMount, index: u16) -> Result<(), ChildFailure> {
    let making = Making {
        leaf: mount.leaf,
        owner: None,
    };
    let target = open_or_make(plan.root.as_fd(), &mount.target, making)
        .and_then(|target| refuse_kernel_filesystems(target.as_fd()).map(|()| target))
        .map_err(ChildFailure::at_mount(Stage::MountTarget, index))?;
    attach(mount.tree.as_fd(), target.as_fd()).map_err(ChildFailure::at_mount(Stage::Mount, index))
}

const CLOSED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Mounts a `/proc` of the new PID namespace. Where that is refused, because parts of the outer
/// one are covered, the outer one is shown: its `self` still is the reader.
fn mount_proc(target: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let proc = match filesystem(c"proc", &[], CLOSED) {
        Err(Errno::PERM) => clone_tree(CWD, c"/proc", true),
        result => result,
    }?;
    attach(proc.as_fd(), target)?;
    Ok(proc)
}

/// Mounts `/sys`, read-only unless insecure. A new one needs a network namespace of this user
/// namespace; otherwise the outer one is shown. Without either `/sys` stays empty.
fn mount_sys(
    target: BorrowedFd<'_>,
    plan: &Plan,
    shared: &Shared,
) -> Result<Option<OwnedFd>, Errno> {
    let read_only = match plan.security {
        Security::Insecure => 0,
        Security::Sandbox => libc::MOUNT_ATTR_RDONLY,
    };
    let (sys, is_outer) = match filesystem(c"sysfs", &[], CLOSED) {
        Ok(sys) => (sys, false),
        Err(_) => match clone_tree(CWD, c"/sys", true) {
            Ok(sys) => (sys, true),
            Err(_) => return Ok(None),
        },
    };
    let change = AttributeChange {
        set: read_only,
        ..AttributeChange::default()
    };
    sys::mount_setattr(sys.as_fd(), c"", true, change)?;
    attach(sys.as_fd(), target)?;
    if is_outer && plan.security == Security::Sandbox {
        // The control groups of the host are mounted below it.
        shared.masks.hide_directory(sys.as_fd(), c"fs/cgroup")?;
    }
    Ok(Some(sys))
}

fn enter_cwd(plan: &Plan) -> Result<(), Errno> {
    let root = rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let making = Making {
        leaf: Leaf::Directory,
        owner: Some(plan.cwd_owner),
    };
    let cwd = open_or_make(root.as_fd(), &plan.cwd, making)?;
    rustix::process::fchdir(&cwd)
}

fn take_stdio(plan: &Plan) -> Result<(), ChildFailure> {
    let [input, output, error] = &plan.stdio;
    let take = || {
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(error)?;
        rustix::process::setsid().map(drop)
    };
    take().map_err(ChildFailure::at(Stage::Stdio))?;
    if plan.has_terminal {
        rustix::process::ioctl_tiocsctty(input).map_err(ChildFailure::at(Stage::Terminal))?;
    }
    Ok(())
}

/// Gives up everything that the step must not have. The filter goes first, while loading one is
/// still allowed without "no new privileges", which would break `sudo` in images.
fn give_up_privileges(plan: &Plan, shared: &Shared) -> Result<(), ChildFailure> {
    if plan.network == Network::Host {
        // Abstract sockets of the host; kernels before 6.12 cannot (CVE-2020-15257).
        sys::landlock_scope().ok();
    }
    capabilities::bound(plan.capabilities).map_err(ChildFailure::at(Stage::Capabilities))?;
    if plan.security == Security::Sandbox {
        sys::load_filter(&shared.filter).map_err(ChildFailure::at(Stage::Seccomp))?;
    }
    let become_user = || {
        rustix::thread::set_thread_groups(&plan.groups)?;
        rustix::thread::set_thread_res_gid(plan.gid, plan.gid, plan.gid)?;
        rustix::thread::set_thread_res_uid(plan.uid, plan.uid, plan.uid)
    };
    become_user().map_err(ChildFailure::at(Stage::Identity))?;
    if plan.uid.is_root() {
        capabilities::hold(plan.capabilities).map_err(ChildFailure::at(Stage::Capabilities))?;
    }
    Ok(())
}

/// Tries the programs as a shell does: one that may not be executed is remembered, the search
/// goes on.
///
/// Until the exec, `/proc/self/exe` is kiln itself, which a step must not get to run: magic links
/// are refused. A script may still name it as its interpreter; kiln's file cannot be written to
/// then, because kiln and its zygote are running from it for as long as any step lives
/// (CVE-2019-5736).
fn exec(plan: &Plan) -> Errno {
    let mut answer = Errno::NOENT;
    for program in &plan.programs {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_MAGICLINKS;
        if rustix::fs::openat2(CWD, program, flags, Mode::empty(), resolve).err()
            == Some(Errno::LOOP)
        {
            return Errno::LOOP;
        }
        match sys::exec(program, &plan.arguments, &plan.environment) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => answer = Errno::ACCESS,
            errno => return errno,
        }
    }
    answer
}

/// Makes a child that goes on, and stays behind as process 1: passes signals on, collects orphans,
/// and ends as the child does.
fn split_off_init(plan: &Plan) -> Result<(), ChildFailure> {
    // Before the clone, or a signal could come between it and the first wait.
    sys::set_signal_mask(true);
    match sys::clone_process(0).map_err(ChildFailure::at(Stage::Init))? {
        Cloned::Child => Ok(()),
        Cloned::Parent(child) => {
            // Its memory and `/proc/1/exe` are ours, not the image's (CVE-2019-5736).
            let closed = rustix::process::DumpableBehavior::NotDumpable;
            rustix::process::set_dumpable_behavior(closed).ok();
            capabilities::bound(CapabilitySet::empty()).ok();
            capabilities::hold(CapabilitySet::KILL & plan.capabilities).ok();
            serve_as_init(&child)
        }
    }
}

/// The exit code of a program that a signal ended, as shells have it.
const SIGNAL_EXIT_BASE: i32 = 128;

fn serve_as_init(child: &OwnedFd) -> ! {
    // Keeps only the child's handle: the step's pipes must close when the step closes them.
    let handle = child.as_raw_fd().cast_unsigned();
    sys::close_range(0, handle.saturating_sub(1));
    sys::close_range(handle + 1, u32::MAX);
    loop {
        match sys::wait_signal() {
            Ok(libc::SIGCHLD) => collect(child.as_fd()),
            // The child may be dying; then its end comes next.
            Ok(signal) => drop(sys::pidfd_kill(child.as_fd(), signal)),
            Err(_) => {}
        }
    }
}

/// Collects everything that has ended; ends with the child's status when it is among them.
fn collect(child: BorrowedFd<'_>) {
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG;
    let ended = rustix::process::waitid(rustix::process::WaitId::PidFd(child), options);
    if let Ok(Some(status)) = ended {
        let by_signal = status
            .terminating_signal()
            .map(|signal| SIGNAL_EXIT_BASE + signal);
        sys::exit(status.exit_status().or(by_signal).unwrap_or(1));
    }
    // The child is still there, so these are orphans.
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}
