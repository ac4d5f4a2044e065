// SPDX-License-Identifier: Apache-2.0
//! Other people's programs, as Debian packages them, each with directories of its own.
//!
//! Observed: skopeo 1.9.3, buildah 1.28.2, podman 4.3.1, docker.io 20.10.24, umoci 0.4.7,
//! docker-registry 2.8.2.

mod buildah;
mod distribution;
mod dockerd;
mod podman;
mod skopeo;
mod umoci;

pub use buildah::Buildah;
pub use distribution::Distribution;
pub use dockerd::{Builder, DockerNetwork, Dockerd};
pub use podman::Podman;
pub use skopeo::Skopeo;
pub use umoci::Umoci;

use crate::requirement::{Requirement, find_program};
use crate::{Program, setting};

/// skopeo.
pub const SKOPEO: Requirement = Requirement::Program("skopeo", "skopeo");
/// buildah.
pub const BUILDAH: Requirement = Requirement::Program("buildah", "buildah");
/// podman.
pub const PODMAN: Requirement = Requirement::Program("podman", "podman");
/// The Docker daemon and its client.
pub const DOCKER: Requirement = Requirement::Program("dockerd", "docker.io");
/// umoci.
pub const UMOCI: Requirement = Requirement::Program("umoci", "umoci");
/// The registry called distribution.
pub const DISTRIBUTION: Requirement = Requirement::Program("docker-registry", "docker-registry");
/// debootstrap.
pub const DEBOOTSTRAP: Requirement = Requirement::Program("debootstrap", "debootstrap");
/// The file `/bin/busybox` that needs no libraries.
pub const BUSYBOX: Requirement = Requirement::Program("busybox", "busybox-static");

/// Returns a call of the Debian program `name`, with `PATH` as its only variable.
pub(crate) fn debian_program(name: &str) -> Program {
    let path = find_program(name).unwrap_or_else(|| panic!("{name} is not installed"));
    Program::new(path).env("PATH", setting::search_path())
}
