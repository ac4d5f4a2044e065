// SPDX-License-Identifier: Apache-2.0
//! The plan of a build without the build: joint 2, for `--print graph`, and the keys that follow
//! from it alone: joint 3, for `--print keys`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use graph::{Frontend, ImageResolver, Plan, SourceTimes};
use tokio_util::sync::CancellationToken;

use crate::fetch::SourceAccess;
use crate::layouts::Layouts;
use crate::open::Builder;
use crate::progress::Sink;
use crate::request::BuildRequest;
use crate::resolve::{Access, Resolver};
use crate::solver::key;

impl Builder {
    /// Lowers what `request` asks for as [`Builder::build`] does, and stops.
    ///
    /// # Errors
    ///
    /// The frontend's.
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind but what was already downloaded.
    pub async fn plan<F: Frontend>(
        &self,
        frontend: &F,
        request: &BuildRequest<F::Input>,
        sink: Arc<dyn Sink>,
    ) -> Result<Plan, F::Error> {
        let access = Access::of(request, &CancellationToken::new());
        let resolver = Resolver::new(self, sink, access);
        frontend.lower(&request.input, &resolver).await
    }

    /// Returns what answers for base images and times of sources, as it does in a build.
    /// `layouts` are image layouts by name.
    pub fn resolver(
        &self,
        layouts: &BTreeMap<String, PathBuf>,
        sources: SourceAccess,
        sink: Arc<dyn Sink>,
    ) -> impl ImageResolver + SourceTimes {
        let access = Access {
            layouts: Layouts::new(layouts),
            secrets: sources.secrets,
            pins: sources.pins,
            cancel: CancellationToken::new(),
        };
        Resolver::new(self, sink, access)
    }
}

/// Returns one line per vertex: its place in the graph, the key of its operation, and which inputs
/// count by their content rather than by their key.
///
/// # Panics
///
/// Never: a string takes all text.
pub fn keys_text(plan: &Plan) -> String {
    let mut text = String::new();
    for vertex in key::keys(&plan.graph) {
        let mut line = format!("#{} {}", vertex.id.index(), vertex.operation());
        for input in &vertex.inputs {
            let how = if input.by_content { "content" } else { "key" };
            write!(line, " <- {how} of {}", input.edge).expect("a string takes all text");
            for selector in &input.selectors {
                write!(line, " {:?}", selector.path).expect("a string takes all text");
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
