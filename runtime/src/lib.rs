// SPDX-License-Identifier: Apache-2.0
//! One process in a sandbox: kiln's runtime for RUN steps and `kiln run`.
//!
//! Owns namespaces, overlay mounts, devices, capabilities, the system call filter, control groups
//! and output streams. Does not know images, layers of the store beyond their directories, caches
//! or Dockerfiles.
//!
//! # Order of calls
//!
//! ```no_run
//! use runtime::{EnterOptions, Output, Overlay, Step, enter};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // 1. First of all, with one thread: no async runtime, no logger thread before it. Only in
//!     //    commands that touch root file systems. A user who is not root is root from here on.
//!     let runtime = enter(EnterOptions { scratch: "/var/lib/kiln/scratch".into() })?;
//!     // 2. Then the async runtime.
//!     let tokio = tokio::runtime::Runtime::new()?;
//!     // 3. Then any number of steps, at the same time if wanted.
//!     let root = Overlay {
//!         lower: vec!["/var/lib/kiln/snapshots/1/fs".into()],
//!         upper: Some(("/var/lib/kiln/snapshots/2/fs".into(), "/var/lib/kiln/snapshots/2/work".into())),
//!     };
//!     let step = Step::new(vec!["/bin/true".into()], root);
//!     let output = Output::Lines(Box::new(|_stream, _line| {}));
//!     let status = tokio.block_on(runtime.run(&step, output, std::future::pending()))?;
//!     assert!(status.is_success());
//!     Ok(())
//! }
//! ```
//!
//! # Parts, in data order
//!
//! `step` what to run → `zygote` the helper process that prepares it → `sandbox` one kernel
//! feature per file → `init` the new process up to exec → `run`, `stdio`, `terminal` its output
//! and end. `user` reads the image's passwd file. `sys` has the only unsafe code. `binfmt` tells what
//! this machine does with programs for other processors.
//!
//! # Invariants
//!
//! 1. Nothing is ever mounted in the host's mount namespace.
//! 2. When this process ends, in whatever way, every process of every step is killed.
//! 3. After a step its upper directory holds what the step changed, and nothing else.
//! 4. A missing capability, controller or limit is no failure.
//! 5. A path from an image is only ever resolved below a descriptor of its root.

pub mod binfmt;
mod failure;
mod init;
mod run;
mod sandbox;
mod stdio;
mod step;
mod sys;
mod terminal;
mod user;
mod zygote;

pub use failure::Stage;
pub use run::{ExitStatus, RunError, Running, Runtime};
pub use stdio::{LineSink, Output, Stream};
pub use step::{
    BUILD_HOSTNAME, CwdOwner, Limits, Mount, MountSource, Network, Overlay, Security, Step, Ulimit,
    UlimitKind,
};
pub use zygote::{EnterError, EnterOptions, Rung, enter};
