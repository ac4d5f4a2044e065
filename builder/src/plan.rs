// SPDX-License-Identifier: Apache-2.0
//! The plan of a build without the build: joint 2, for `--print graph`.

use std::sync::Arc;

use graph::{Frontend, Plan};

use crate::open::Builder;
use crate::progress::Sink;
use crate::report::StepReport;
use crate::resolve::Resolver;

impl Builder {
    /// Lowers `input` as [`Builder::build`] does, and stops.
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
        input: &F::Input,
        sink: Arc<dyn Sink>,
    ) -> Result<Plan, F::Error> {
        let resolver = Resolver::new(self, StepReport::new(sink));
        frontend.lower(input, &resolver).await
    }
}
