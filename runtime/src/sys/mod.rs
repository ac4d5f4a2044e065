// SPDX-License-Identifier: Apache-2.0
//! System calls that need `unsafe`: the only such file of the workspace.
//!
//! Each function wraps one call, one unsafe operation per block, and gives it a safe signature.
//! Knows the kernel's structures; does not know steps. Everything here may run in the child
//! between clone and exec: nothing allocates, takes a lock or panics, apart from [`ArgumentList`],
//! which is built before the clone.
//!
//! Docs: `clone(2)`, `mount_setattr(2)`, `seccomp(2)`, `keyctl(2)`, `landlock(7)`.
#![expect(
    unsafe_code,
    reason = "the one place for system calls that rustix does not cover"
)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// A BPF instruction as the kernel takes it.
pub(crate) type Filter = libc::sock_filter;

/// Who is speaking after a clone.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The caller, with the child's process handle.
    Parent(OwnedFd),
    /// The new process.
    Child,
}

/// Strings in the form that `execve` takes, built before the clone.
#[derive(Debug)]
pub(crate) struct ArgumentList {
    // The pointers below point into these; a CString's buffer does not move with its owner.
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl ArgumentList {
    /// Takes the strings and adds the final null pointer.
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }
}

fn last_errno() -> Errno {
    // SAFETY: has no preconditions.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the location is valid for the life of the thread and only this thread writes it.
    Errno::from_raw_os_error(unsafe { *location })
}

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: every caller passes a descriptor that the kernel has just made for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Forks this process; true in the child. The caller must be single-threaded if the child is to
/// do more than exec.
pub(crate) fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: fork has no memory preconditions; the callers are single-threaded, so that no lock
    // of the allocator is left held in the child.
    let pid = unsafe { libc::fork() };
    match check(libc::c_long::from(pid))? {
        0 => Ok(None),
        _ => Ok(Some(pid)),
    }
}

/// Moves this thread into new namespaces; for a user namespace it must be the only one.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the danger is CLONE_FILES, which separates the descriptor tables of threads; no
    // caller passes it.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Clones this process into new namespaces (`CLONE_NEW*` bits in `flags`), with a process handle.
///
/// Falls back from `clone3` to `clone` where a container's filter answers `ENOSYS`.
pub(crate) fn clone_process(flags: i32) -> Result<Cloned, Errno> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: the structure and its size agree, pidfd outlives the call, and without CLONE_VM the
    // child works on its own copy of memory.
    let mut result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    if result < 0 && last_errno() == Errno::NOSYS {
        let word = libc::c_long::from(flags | libc::CLONE_PIDFD | libc::SIGCHLD);
        // SAFETY: as above; a null stack means the child keeps the copy of this one, and the
        // third argument is where CLONE_PIDFD stores the handle.
        result = unsafe { libc::syscall(libc::SYS_clone, word, 0, &raw mut pidfd, 0, 0) };
    }
    match check(result)? {
        0 => Ok(Cloned::Child),
        _ => Ok(Cloned::Parent(owned(pidfd))),
    }
}

/// Changes attributes and propagation of the mount at `path` below `fd`.
pub(crate) fn mount_setattr(
    fd: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    change: AttributeChange,
) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: if change.private { libc::MS_PRIVATE } else { 0 },
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends in NUL and the structure and its size agree; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// What [`mount_setattr`] changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttributeChange {
    /// `MOUNT_ATTR_*` bits to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub(crate) clear: u64,
    /// Whether to take the mount out of its peer group.
    pub(crate) private: bool,
}

/// Loads a system call filter for this process. Needs `CAP_SYS_ADMIN` or no-new-privileges.
pub(crate) fn load_filter(program: &[Filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program's pointer and length describe one live slice, which the kernel copies.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result).map(drop)
}

/// Joins a new anonymous session keyring, so that keys of the host are out of reach.
pub(crate) fn join_session_keyring() -> Result<(), Errno> {
    // SAFETY: a null name asks for an anonymous keyring; nothing else is dereferenced.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    check(result).map(drop)
}

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL`.
const LANDLOCK_SCOPES: u64 = 3;

/// Cuts this process off from abstract sockets and signals of processes outside its own subtree.
/// Fails on kernels before 6.12.
pub(crate) fn landlock_scope() -> Result<(), Errno> {
    // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped.
    let attributes: [u64; 3] = [0, 0, LANDLOCK_SCOPES];
    // SAFETY: the array has the layout and size of the structure and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            size_of_val(&attributes),
            0,
        )
    };
    let ruleset = owned(i32::try_from(check(result)?).map_err(|_| Errno::BADF)?);
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check(result).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: takes integers only, and changes a flag that no safe code relies on.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    check(result).map(drop)
}

/// Closes every descriptor from `first` to `last`, both included. Only for a process that was just
/// forked and has dropped or forgotten the owners of these descriptors.
pub(crate) fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: takes integers only; the caller, newly forked, uses none of these descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Gives every signal its default action and unblocks all of them.
pub(crate) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL runs no code of ours; signals that cannot be set are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_signal_mask(false);
}

/// Blocks or unblocks every signal.
pub(crate) fn set_signal_mask(block: bool) {
    // SAFETY: a signal set is plain memory, for which all zeroes is the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    if block {
        // SAFETY: the set is live and writable.
        unsafe { libc::sigfillset(&raw mut set) };
    }
    // SAFETY: the set is initialised; the old mask is not wanted.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for any signal, all of which must be blocked, and returns its number.
pub(crate) fn wait_signal() -> Result<i32, Errno> {
    // SAFETY: a signal set is plain memory, for which all zeroes is the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live and writable.
    unsafe { libc::sigfillset(&raw mut set) };
    // SAFETY: the set is initialised, and no information beyond the number is asked for.
    let signal = unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) };
    check(libc::c_long::from(signal)).map(|_| signal)
}

/// Sends a signal by number to the process behind a process handle.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a null pointer asks for the default signal information.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Sets the host name of the current UTS namespace.
pub(crate) fn set_hostname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: pointer and length describe the live string without its NUL.
    let result = unsafe { libc::sethostname(name.as_ptr(), name.to_bytes().len()) };
    check(libc::c_long::from(result)).map(drop)
}

/// `IFF_UP | IFF_RUNNING`.
const INTERFACE_UP: i16 = 0x41;

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: ifreq is plain bytes and integers, for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = INTERFACE_UP;
    // SAFETY: SIOCSIFFLAGS reads a live ifreq.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(libc::c_long::from(result)).map(drop)
}

/// Has tokio say when a descriptor is ready.
pub(crate) fn watch(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is one open descriptor, which it neither replaces nor closes before it
    // is dropped.
    let watched = unsafe { AsyncFd::register(fd) };
    watched.map_err(std::io::Error::from)
}

/// Replaces this process by the program at `path`; returns only on failure.
pub(crate) fn exec(path: &CStr, arguments: &ArgumentList, environment: &ArgumentList) -> Errno {
    // SAFETY: the path ends in NUL, and both lists hold live NUL-terminated strings and end in a
    // null pointer.
    unsafe {
        libc::execve(
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        )
    };
    last_errno()
}

/// Ends this process at once, running no destructors and no exit handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: does not return and touches no memory of this process.
    unsafe { libc::_exit(code) }
}
