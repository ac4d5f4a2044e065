// SPDX-License-Identifier: Apache-2.0
//! Steps for other processors: which there are, and whether this machine can run them. Asked
//! before anything runs.
//!
//! What counts is what the image of a step's root is for, as far as that is known: a base image
//! that stands alone is taken whatever platform was asked for.

use graph::{ActionInput, Graph, Op, RunOp, Vertex, VertexId};
use oci::Platform;
use runtime::binfmt::{self, Emulation};

use crate::ops::image::ImageSources;
use crate::step_error::StepError;

/// "Exec format error", the same number on every architecture of Linux.
const ENOEXEC: i32 = 8;

/// How the programs of a step run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlatform {
    /// What the programs in the step's root are for.
    pub platform: Platform,
    /// What it takes to run them.
    pub emulation: Emulation,
}

impl StepPlatform {
    /// Returns the error of a step that cannot run, if it is known that it cannot.
    pub(crate) fn refusal(&self) -> Option<StepError> {
        match &self.emulation {
            Emulation::Missing => Some(self.no_emulation(None)),
            Emulation::Unusable { interpreter } => Some(self.no_emulation(Some(interpreter))),
            _ => None,
        }
    }

    /// Returns the error of a step that turned out not to run.
    pub(crate) fn no_emulation(&self, interpreter: Option<&std::path::Path>) -> StepError {
        StepError::NoEmulation {
            platform: Box::new(self.platform.clone()),
            interpreter: interpreter.map(Into::into),
        }
    }
}

/// Returns how a step runs.
pub(crate) fn of_step(graph: &Graph, images: &ImageSources, id: VertexId) -> StepPlatform {
    let platform = root_platform(graph, images, id)
        .or_else(|| graph.vertex(id).platform.clone())
        .unwrap_or_else(Platform::host);
    of_platform(&platform)
}

/// Returns how programs for a platform run.
pub(crate) fn of_platform(platform: &Platform) -> StepPlatform {
    let platform = platform.normalized();
    let host = Platform::host();
    let emulation = if platform.os == host.os {
        binfmt::emulation(&platform.architecture, &host.architecture)
    } else {
        Emulation::Missing
    };
    StepPlatform {
        platform,
        emulation,
    }
}

/// Returns what the image at the bottom of a step's root is for.
fn root_platform(graph: &Graph, images: &ImageSources, id: VertexId) -> Option<Platform> {
    let mut vertex = graph.vertex(id);
    while let Some(at) = root_input(vertex) {
        vertex = graph.vertex(vertex.inputs.get(at)?.vertex);
    }
    let Op::Source(source) = &vertex.op else {
        return None;
    };
    let wanted = vertex.platform.clone().unwrap_or_else(Platform::host);
    let found = images.get(source, &wanted)?;
    let platform = found.image.config().platform();
    (!platform.os.is_empty() && !platform.architecture.is_empty()).then_some(platform)
}

/// Returns which input is the tree that an operation changes.
fn root_input(vertex: &Vertex) -> Option<usize> {
    match &vertex.op {
        Op::Source(_) => None,
        Op::Run(run) => root_of(run),
        Op::File(file) => match file.actions.first()?.input {
            ActionInput::Input(at) => Some(at),
            _ => None,
        },
        Op::Merge => Some(0),
        Op::Diff { upper, .. } => *upper,
    }
}

fn root_of(run: &RunOp) -> Option<usize> {
    run.mounts.iter().find(|mount| mount.dest == "/")?.input
}

/// Tells whether the kernel found no way to run a program.
pub(crate) fn is_wrong_format(error: &runtime::RunError) -> bool {
    matches!(
        error,
        runtime::RunError::ProgramNotExecutable { source, .. }
            if source.raw_os_error() == Some(ENOEXEC)
    )
}
