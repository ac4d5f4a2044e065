// SPDX-License-Identifier: Apache-2.0
//! What is allowed in a Dockerfile but rarely meant: warnings of a build, and `kiln build --check`.

use std::str::FromStr;
use std::sync::Arc;

use builder::progress::{Event, Sink};
use frontend_dockerfile::lint::{self, LintConfig};
use frontend_dockerfile::{BuildInput, Diagnostic, Report, parse};
use graph::pattern::Patterns;
use graph::{SourceFile, SourceRange};

use super::build_result::problems;
use crate::report::{self, Exit, Failure};

/// The build argument that configures the rules, over the line in the file. Docs: BuildKit.
const CONFIG_ARG: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Prints the warnings about a Dockerfile; any is a failure, as in buildx.
pub(super) fn run(input: &BuildInput) -> Result<(), Failure> {
    let (found, _) = warnings(input)?;
    if found.is_empty() {
        return report::print("Check complete, no warnings found.\n");
    }
    report::print(&Report::new(&input.source, &found).to_string())?;
    Err(Failure::silent(Exit::Failed))
}

/// Tells `sink` the warnings; fails if the Dockerfile says that they are errors. A file that
/// cannot be parsed has none: the build itself reports it.
pub(super) fn tell(input: &BuildInput, sink: &dyn Sink) -> Result<(), Failure> {
    let Ok((found, is_error)) = warnings(input) else {
        return Ok(());
    };
    if is_error && !found.is_empty() {
        return Err(
            problems(&input.source, &found).hint("these are errors because of `check=error=true`")
        );
    }
    let file = Arc::new(SourceFile {
        name: input.source.name().to_owned(),
        text: input.source.text().to_owned(),
    });
    for warning in found {
        let line = input.source.position(warning.span.start).line;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let rule = warning.rule.unwrap_or("warning");
        sink.event(Event::Warning {
            step: None,
            message: format!("{rule}: {}", warning.message),
            location: Some(SourceRange {
                file: Arc::clone(&file),
                start_line: line,
                end_line: line,
            }),
        });
    }
    Ok(())
}

/// Returns the warnings, and whether they are errors.
fn warnings(input: &BuildInput) -> Result<(Vec<Diagnostic>, bool), Failure> {
    let dockerfile =
        parse::parse(&input.source).map_err(|found| problems(&input.source, &found))?;
    let in_file = dockerfile.directives.check.as_ref();
    let given = input.options.build_args.get(CONFIG_ARG);
    let text = given.or(in_file.map(|check| &check.value.text));
    let config = match text.map(String::as_str) {
        None | Some("") => LintConfig::default(),
        Some(text) => {
            LintConfig::from_str(text).map_err(|error| Failure::from_error(Exit::Input, &error))?
        }
    };
    let ignore = input.dockerignore.as_ref();
    let ignore = ignore.and_then(|file| Patterns::parse(file.text()).ok());
    let found = lint::check(&dockerfile, &ignore.unwrap_or_default(), &config);
    Ok((found, config.error))
}

#[cfg(test)]
mod tests {
    use frontend_dockerfile::{BuildOptions, SourceText};
    use oci::Platform;

    use super::*;

    fn input(text: &str) -> BuildInput {
        BuildInput {
            source: SourceText::new("Dockerfile", text),
            dockerignore: None,
            options: BuildOptions::new(Platform::host()),
        }
    }

    #[test]
    fn rules_are_configured_by_the_file_and_by_the_argument() {
        let text = "FROM a\nMAINTAINER me\n";
        let count = |input: &BuildInput| warnings(input).map(|(found, error)| (found.len(), error));
        assert_eq!(count(&input(text)), Ok((1, false)));
        let skipped = format!("# check=skip=MaintainerDeprecated\n{text}");
        assert_eq!(count(&input(&skipped)), Ok((0, false)));
        let mut strict = input(text);
        strict
            .options
            .build_args
            .insert(CONFIG_ARG.into(), "error=true".into());
        assert_eq!(count(&strict), Ok((1, true)));
        let failure = tell(&strict, &builder::progress::Silent).unwrap_err();
        assert_eq!(failure.exit(), Exit::Input);
    }
}
