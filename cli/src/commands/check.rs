// SPDX-License-Identifier: Apache-2.0
//! What is allowed in a Dockerfile but rarely meant: warnings of a build, and `kiln build --check`.

use std::sync::Arc;

use builder::progress::{Event, Silent, Sink};
use builder::{BuildRequest, Builder, SourceAccess};
use frontend_dockerfile::lint::{self, BaseImages, Lint, Scope, Warning};
use frontend_dockerfile::{BuildInput, DockerfileError, DockerfileFrontend};
use graph::{Frontend, ImageResolver, Plan, SourceFile, SourceRange, SourceTimes};

use crate::args::call::{CallArg, CallFormat};
use crate::args::lint::LintFormat;
use crate::findings::{self, Finding};
use crate::report::{self, Failure};
use crate::session;

/// Prints the warnings about a Dockerfile; any is a failure, as in buildx.
pub(super) fn run(
    builder: &Builder,
    request: &BuildRequest<BuildInput>,
    call: CallArg,
) -> Result<(), Failure> {
    let input = &request.input;
    let found = session::block_on_droppable(async {
        let resolver = resolver(builder, request);
        Ok(lint::lint(input, Scope::Check, BaseImages::Required, &resolver).await)
    })?;
    let findings = [Finding {
        source: input.source.clone(),
        lint: found,
    }];
    let format = match call.format {
        CallFormat::Text => LintFormat::Text,
        CallFormat::Json => LintFormat::Json,
    };
    report::print(&findings::render(&findings, format))?;
    findings::verdict(&findings, call.ignore_status)
}

/// Returns what answers for base images, as it would in the build.
pub(super) fn resolver(
    builder: &Builder,
    request: &BuildRequest<BuildInput>,
) -> impl ImageResolver + SourceTimes {
    let sources = SourceAccess {
        secrets: request.secrets.clone(),
        pins: request.pins.clone(),
    };
    builder.resolver(&request.layouts, sources, Arc::new(Silent))
}

/// The frontend of a build: lowers, and tells the warnings.
pub(super) struct CheckedFrontend {
    /// Who is told.
    pub(super) sink: Arc<dyn Sink>,
}

impl Frontend for CheckedFrontend {
    type Input = BuildInput;
    type Error = DockerfileError;

    async fn lower<R: ImageResolver + SourceTimes>(
        &self,
        input: &BuildInput,
        resolver: &R,
    ) -> Result<Plan, DockerfileError> {
        let plan = DockerfileFrontend.lower(input, resolver).await;
        // Why there is no plan is told by who makes it, with all problems; for the warnings about
        // such a file nobody is asked.
        let images = match plan {
            Ok(_) => BaseImages::Required,
            Err(_) => BaseImages::Unknown,
        };
        let found = lint::lint(input, Scope::Build, images, resolver).await;
        self.tell(input, &found);
        let plan = plan?;
        match found.error {
            Some(error @ DockerfileError::Violations(_)) => Err(error),
            _ => Ok(plan),
        }
    }
}

impl CheckedFrontend {
    fn tell(&self, input: &BuildInput, found: &Lint) {
        if found.warnings.is_empty() {
            return;
        }
        let file = Arc::new(SourceFile {
            name: input.source.name().to_owned(),
            text: input.source.text().to_owned(),
        });
        for warning in &found.warnings {
            self.sink.event(event(warning, &file));
        }
    }
}

fn event(warning: &Warning, file: &Arc<SourceFile>) -> Event {
    let line = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Event::Warning {
        step: None,
        message: format!("{}: {}", warning.rule.name, warning.message),
        location: Some(SourceRange {
            file: Arc::clone(file),
            start_line: line(warning.lines.first),
            end_line: line(warning.lines.last),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use frontend_dockerfile::{BuildOptions, SourceText};
    use oci::Platform;

    use super::*;
    use crate::commands::Offline;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Sink for Told {
        fn event(&self, event: Event) {
            if let Event::Warning { message, .. } = event {
                let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                told.push(message);
            }
        }
    }

    async fn build(text: &str) -> (Result<(), DockerfileError>, Vec<String>) {
        let input = BuildInput {
            source: SourceText::new("Dockerfile", text),
            dockerignore: None,
            options: BuildOptions::new(Platform::host()),
        };
        let told = Arc::new(Told::default());
        let frontend = CheckedFrontend {
            sink: Arc::clone(&told) as Arc<dyn Sink>,
        };
        let plan = frontend.lower(&input, &Offline).await.map(drop);
        let told = told.0.lock().unwrap().clone();
        (plan, told)
    }

    #[tokio::test]
    async fn a_build_tells_warnings_and_fails_only_if_the_file_says_so() {
        let text = "FROM scratch\nMAINTAINER me\n";
        let (plan, told) = build(text).await;
        assert!(plan.is_ok());
        assert_eq!(
            told,
            ["MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"]
        );
        let (plan, told) = build(&format!("# check=skip=MaintainerDeprecated\n{text}")).await;
        assert!(plan.is_ok() && told.is_empty());
        let (plan, told) = build(&format!("# check=error=true\n{text}")).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            plan.unwrap_err().to_string(),
            "lint violation found for rules: MaintainerDeprecated"
        );
    }
}
