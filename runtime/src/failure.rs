// SPDX-License-Identifier: Apache-2.0
//! What went wrong inside the zygote or the new process: the stage, its subject and an errno.
//!
//! Between clone and exec a process can neither allocate nor format, so a failure there is eight
//! bytes on a pipe: stage, index of the mount concerned, errno. The zygote turns it into words.

use rustix::io::Errno;

macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// The part of starting a step that failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Stage { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Stage {
            pub(crate) fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }

        impl std::fmt::Display for Stage {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

stages! {
    /// The step itself cannot be expressed to the kernel, e.g. a NUL byte in an argument.
    Request = 1, "cannot start a step with";
    /// Assembling the overlay of the root file system.
    RootFilesystem = 2, "cannot mount the root file system";
    /// Looking up the user in the image.
    User = 3, "cannot find the user";
    /// Opening what a mount is to show.
    MountSource = 4, "cannot open the source of the mount at";
    /// Finding or making the place where a mount goes.
    MountTarget = 5, "cannot reach the mount target";
    /// Mounting it there.
    Mount = 6, "cannot mount at";
    /// Making the new process and its namespaces.
    Namespaces = 7, "cannot create the namespaces of the step";
    /// `/dev`.
    Devices = 8, "cannot set up /dev";
    /// `/proc`.
    Proc = 9, "cannot set up /proc";
    /// `/sys`.
    Sys = 10, "cannot set up /sys";
    /// Hiding and protecting paths below `/proc` and `/sys`.
    Masks = 11, "cannot protect /proc and /sys";
    /// Entering the new root.
    Pivot = 12, "cannot enter the root file system";
    /// The working directory.
    WorkingDirectory = 13, "cannot enter the working directory";
    /// Changing to the user.
    Identity = 14, "cannot become the user";
    /// Dropping capabilities.
    Capabilities = 15, "cannot drop capabilities";
    /// Loading the system call filter.
    Seccomp = 16, "cannot load the system call filter";
    /// The host name or the loopback interface.
    Network = 17, "cannot set up the network";
    /// Standard input, output and error.
    Stdio = 18, "cannot set up the standard streams";
    /// The terminal.
    Terminal = 19, "cannot set up the terminal";
    /// The program itself.
    Program = 20, "cannot run";
    /// The built-in init.
    Init = 21, "cannot start the init process";
}

/// A failure with everything that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    /// The path, user or program; may be empty.
    pub(crate) subject: String,
    pub(crate) errno: i32,
}

impl Failure {
    pub(crate) fn new(stage: Stage, subject: impl Into<String>, errno: Errno) -> Self {
        Self {
            stage,
            subject: subject.into(),
            errno: errno.raw_os_error(),
        }
    }

    /// Returns a closure for `map_err`.
    pub(crate) fn at(stage: Stage, subject: &str) -> impl FnOnce(Errno) -> Self + '_ {
        move |errno| Self::new(stage, subject, errno)
    }
}

/// A failure in the new process: all that it can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildFailure {
    pub(crate) stage: Stage,
    /// Which mount of the step, where the stage is about one.
    pub(crate) index: u16,
    pub(crate) errno: Errno,
}

impl ChildFailure {
    /// Bytes of the record on the pipe.
    pub(crate) const SIZE: usize = 8;

    pub(crate) fn at(stage: Stage) -> impl FnOnce(Errno) -> Self {
        move |errno| Self {
            stage,
            index: 0,
            errno,
        }
    }

    pub(crate) fn at_mount(stage: Stage, index: u16) -> impl FnOnce(Errno) -> Self {
        move |errno| Self {
            stage,
            index,
            errno,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let [i0, i1] = self.index.to_le_bytes();
        let [e0, e1, e2, e3] = self.errno.raw_os_error().to_le_bytes();
        [self.stage as u8, 0, i0, i1, e0, e1, e2, e3]
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let [stage, _, i0, i1, e0, e1, e2, e3] = bytes;
        let errno = i32::from_le_bytes([e0, e1, e2, e3]);
        Some(Self {
            stage: Stage::from_number(stage)?,
            index: u16::from_le_bytes([i0, i1]),
            errno: (1..4096)
                .contains(&errno)
                .then(|| Errno::from_raw_os_error(errno))?,
        })
    }
}
