// SPDX-License-Identifier: Apache-2.0
//! The zygote's loop: requests in, processes out, their ends reported.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};

use super::prepare::{Prepared, Preparer, Remains, Streams};
use super::scratch::Scratch;
use super::wire::{self, Event, Request, Signal};
use super::{MOUNTS_FAILED, READY, Rung, SCRATCH_FAILED, socket};
use crate::failure::{ChildFailure, Failure, Stage};
use crate::init::{self, Shared};
use crate::sandbox::cgroup::{Cgroups, StepCgroups};
use crate::sandbox::mounts::overlay::{OverlayApi, OverlayMaker};
use crate::sandbox::mounts::stub;
use crate::sandbox::namespaces;
use crate::sandbox::seccomp;
use crate::sys::{self, Cloned};

/// The process that the caller of [`super::enter`] talks to. Does not return.
pub(super) fn run(requests: OwnedFd, scratch: &Path, rung: Rung) -> ! {
    let requests = settle(requests);
    match open(requests, scratch, rung) {
        Ok(mut zygote) => {
            let ready = wire::encode(&(READY, 0));
            if socket::send(&zygote.requests, &ready, &[]).is_ok() {
                zygote.serve();
            }
            sys::exit(0)
        }
        Err((stage, errno, requests)) => {
            let failed = wire::encode(&(stage, errno.raw_os_error()));
            // If nobody listens there is nobody to tell.
            socket::send(requests, &failed, &[]).ok();
            sys::exit(1)
        }
    }
}

/// Lets go of everything of the caller's: descriptors, terminal, signal actions, file mode mask.
fn settle(requests: OwnedFd) -> OwnedFd {
    sys::reset_signals();
    rustix::process::umask(Mode::empty());
    // Ctrl-C in the caller's terminal is for the caller, who then cancels.
    rustix::process::setsid().ok();
    rustix::thread::set_name(c"kiln-zygote").ok();
    if let Ok(null) = rustix::fs::openat(rustix::fs::CWD, c"/dev/null", OFlags::RDWR, Mode::empty())
    {
        rustix::stdio::dup2_stdin(&null).ok();
        rustix::stdio::dup2_stdout(&null).ok();
        rustix::stdio::dup2_stderr(&null).ok();
    }
    let number = std::os::fd::AsRawFd::as_raw_fd(&requests).cast_unsigned();
    sys::close_range(3, number.saturating_sub(1));
    sys::close_range(number + 1, u32::MAX);
    requests
}

type OpenFailure = (u8, Errno, OwnedFd);

fn open(requests: OwnedFd, scratch: &Path, rung: Rung) -> Result<Zygote, OpenFailure> {
    let own_mounts = sys::unshare(rustix::thread::UnshareFlags::NEWNS)
        .and_then(|()| namespaces::make_mounts_follow());
    if let Err(errno) = own_mounts {
        return Err((MOUNTS_FAILED, errno, requests));
    }
    let mounted = Scratch::mount(scratch).and_then(|scratch| Ok((scratch.masks()?, scratch)));
    let (masks, scratch) = match mounted {
        Ok(mounted) => mounted,
        Err(errno) => return Err((SCRATCH_FAILED, errno, requests)),
    };
    Ok(Zygote {
        requests,
        preparer: Preparer {
            overlays: OverlayMaker {
                api: OverlayApi::Descriptors,
                user_namespace: rung != Rung::Root || !is_initial_user_namespace(),
                anchor: scratch.anchor(),
            },
            scratch,
            cgroups: Cgroups::find(),
        },
        shared: Shared {
            masks,
            filter: seccomp::default_filter(),
        },
        steps: Vec::new(),
        busy_cgroups: Vec::new(),
    })
}

/// Whether ids are the machine's own. Root of a container may be root of a user namespace only.
fn is_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[derive(Debug)]
struct Zygote {
    requests: OwnedFd,
    preparer: Preparer,
    shared: Shared,
    steps: Vec<Live>,
    busy_cgroups: Vec<StepCgroups>,
}

/// A step whose process is alive.
#[derive(Debug)]
struct Live {
    socket: OwnedFd,
    process: OwnedFd,
    report: OwnedFd,
    remains: Remains,
}

const READABLE: PollFlags = PollFlags::IN;

impl Zygote {
    fn serve(&mut self) {
        loop {
            let mut ready = vec![PollFd::new(&self.requests, READABLE)];
            for step in &self.steps {
                ready.push(PollFd::new(&step.process, READABLE));
                ready.push(PollFd::new(&step.socket, READABLE));
            }
            if poll(&mut ready, None).is_err() {
                continue;
            }
            let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (request, steps) = ready.split_first().expect("the request socket is polled");
            // Backwards, since a step that has ended is taken out.
            for (number, flags) in steps.chunks(2).enumerate().rev() {
                if flags.last() == Some(&true) {
                    self.steps[number].obey();
                }
                if flags.first() == Some(&true) {
                    self.finish(number);
                }
            }
            if *request && !self.accept() {
                return self.kill_all();
            }
        }
    }

    /// Takes one request; false at the end of the connection.
    fn accept(&mut self) -> bool {
        let Ok((bytes, mut descriptors)) = socket::receive(&self.requests) else {
            return false;
        };
        if bytes.is_empty() {
            return false;
        }
        if descriptors.len() < 2 {
            return true;
        }
        let contents = descriptors.remove(0);
        let step = descriptors.remove(0);
        if let Err(failure) = self.start(contents, &step, descriptors) {
            let event = wire::encode(&Event::Failed { failure });
            // The client may have gone away meanwhile.
            socket::send(step, &event, &[]).ok();
        }
        true
    }

    fn start(
        &mut self,
        contents: OwnedFd,
        step: &OwnedFd,
        streams: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let malformed = |errno| Failure::new(Stage::Request, "a malformed request", errno);
        let contents = socket::from_memory_file(contents).map_err(malformed)?;
        let request: Request = wire::decode(&contents).ok_or_else(|| malformed(Errno::BADMSG))?;
        let streams = match (request.terminal, streams.try_into()) {
            (Some(size), _) => Streams::Terminal(size),
            (None, Ok(stdio)) => Streams::Given(stdio),
            (None, Err(_)) => return Err(malformed(Errno::BADF)),
        };
        let (report, report_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(Failure::at(Stage::Stdio, ""))?;
        let Prepared {
            plan,
            flags,
            remains,
            terminal,
        } = self.preparer.prepare(&request.step, streams, report_end)?;
        match sys::clone_process(flags) {
            Ok(Cloned::Child) => init::run(&plan, &self.shared),
            Ok(Cloned::Parent(process)) => {
                drop(plan);
                let socket = rustix::io::fcntl_dupfd_cloexec(step, 3)
                    .map_err(Failure::at(Stage::Stdio, ""))?;
                if let Some(terminal) = terminal {
                    let event = wire::encode(&Event::Terminal);
                    socket::send(&socket, &event, &[terminal.as_fd()]).ok();
                }
                self.steps.push(Live {
                    socket,
                    process,
                    report,
                    remains,
                });
                Ok(())
            }
            Err(errno) => {
                drop(plan);
                self.busy_cgroups.extend(remains.clean());
                Err(Failure::new(Stage::Namespaces, "", errno))
            }
        }
    }

    /// Reports the end of a step and removes what is left of it.
    fn finish(&mut self, number: usize) {
        let mut step = self.steps.swap_remove(number);
        let (code, signal) = wait(&step.process);
        let unenforced = std::mem::take(&mut step.remains.cgroups.unenforced);
        let event = match (step.failure(), code) {
            (Some(failure), _) => Event::Failed { failure },
            (None, Some(code)) => Event::Exited { code, unenforced },
            (None, None) => Event::Killed {
                signal: signal.unwrap_or(libc::SIGKILL),
                unenforced,
            },
        };
        // Before the report: the client may use the directories from then on.
        stub::remove(std::mem::take(&mut step.remains.made));
        socket::send(&step.socket, &wire::encode(&event), &[]).ok();
        self.busy_cgroups.extend(step.remains.clean());
        let busy = std::mem::take(&mut self.busy_cgroups);
        self.busy_cgroups = busy.into_iter().filter_map(StepCgroups::remove).collect();
    }

    fn kill_all(&mut self) {
        for step in &self.steps {
            step.kill();
        }
        for step in self.steps.drain(..) {
            wait(&step.process);
            self.busy_cgroups.extend(step.remains.clean());
        }
    }
}

impl Live {
    /// Takes a signal for the step; kills it if the client is gone.
    fn obey(&self) {
        match socket::receive(&self.socket) {
            Ok((bytes, _)) if !bytes.is_empty() => {
                if let Some(Signal { number }) = wire::decode(&bytes) {
                    // It may have ended meanwhile.
                    sys::pidfd_kill(self.process.as_fd(), number).ok();
                }
            }
            _ => self.kill(),
        }
    }

    /// Kills process 1 of the step, and with it the whole PID namespace.
    fn kill(&self) {
        // It may have ended meanwhile.
        sys::pidfd_kill(self.process.as_fd(), libc::SIGKILL).ok();
    }

    /// Returns what the new process reported before it became the program, if it did not.
    fn failure(&self) -> Option<Failure> {
        let mut bytes = [0; ChildFailure::SIZE];
        let length = rustix::io::read(&self.report, &mut bytes).ok()?;
        let failure = ChildFailure::from_bytes(bytes).filter(|_| length == bytes.len())?;
        let remains = &self.remains;
        let subject = match failure.stage {
            Stage::MountTarget | Stage::Mount => remains
                .targets
                .get(usize::from(failure.index))
                .map_or("", String::as_str),
            Stage::Program => &remains.program,
            Stage::WorkingDirectory => &remains.cwd,
            Stage::Identity => &remains.user,
            _ => "",
        };
        Some(Failure::new(failure.stage, subject, failure.errno))
    }
}

/// Waits for a process; returns its exit code or the signal that ended it.
fn wait(process: &OwnedFd) -> (Option<i32>, Option<i32>) {
    loop {
        match rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Ok(Some(status)) => return (status.exit_status(), status.terminating_signal()),
            Ok(None) | Err(_) => return (None, None),
        }
    }
}
