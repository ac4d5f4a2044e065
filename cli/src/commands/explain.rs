// SPDX-License-Identifier: Apache-2.0
//! `kiln build --explain`: what a build would do, and nothing done.

use std::sync::Arc;

use builder::{BuildRequest, Builder};
use frontend_dockerfile::{BuildInput, DockerfileFrontend, explain};

use super::build_result;
use crate::args::build::ProgressKind;
use crate::explanation;
use crate::progress::Progress;
use crate::report::{self, Failure};
use crate::session::{self, Session};

/// Prints stages, images and steps.
pub(super) fn run(
    builder: &Builder,
    request: &BuildRequest<BuildInput>,
    session: &Session,
) -> Result<(), Failure> {
    let stages = explain::stages(&request.input);
    let stages = stages.map_err(|error| build_result::frontend_failure(&error))?;
    let shown = Arc::new(Progress::start(ProgressKind::Quiet, &session.environment));
    let explanation = session::block_on_droppable(async {
        let explained = builder.explain(&DockerfileFrontend, request).await;
        explained.map_err(|error| build_result::failure(&error, &shown))
    })?;
    report::print(&explanation::text(&stages, &explanation))
}
