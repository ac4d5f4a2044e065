// SPDX-License-Identifier: Apache-2.0
//! Which frontend a Dockerfile asks for: `# syntax=…` or the build argument `BUILDKIT_SYNTAX`.
//!
//! kiln has one, its own, which does what `docker/dockerfile` does.

use frontend_dockerfile::{BuildInput, detect_syntax};
use oci::Reference;

use crate::report::{self, Exit, Failure};

/// The build argument that names a frontend, over the line in the file. Docs: BuildKit.
const SYNTAX_ARG: &str = "BUILDKIT_SYNTAX";
/// Repositories whose frontend is ours, on whatever registry they are mirrored.
const OURS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Tells of a frontend that is not there; `strict` makes that an error.
pub(super) fn check(input: &BuildInput, strict: bool) -> Result<(), Failure> {
    let Some(frontend) = foreign(input) else {
        return Ok(());
    };
    let file = input.source.name();
    if strict {
        let message =
            format!("{file} asks for the frontend `{frontend}`, which kiln does not have");
        return Err(Failure::new(Exit::Input, message)
            .hint("without --frontend-strict kiln reads it as a plain Dockerfile"));
    }
    report::remark(&format!(
        "warning: {file} asks for the frontend `{frontend}`; kiln reads it as a plain Dockerfile\n"
    ));
    Ok(())
}

/// Returns the frontend that is asked for, if it is not ours.
fn foreign(input: &BuildInput) -> Option<String> {
    let given = input.options.build_args.get(SYNTAX_ARG).cloned();
    let line = given.or_else(|| detect_syntax(input.source.text()))?;
    // What follows is its command line.
    let name = line.split_whitespace().next()?;
    let is_ours = name.parse().is_ok_and(|reference: Reference| {
        let path = reference.repository().path();
        let ends_in = |ours: &str| {
            path.strip_suffix(ours)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        OURS.into_iter().any(ends_in)
    });
    (!is_ours).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use frontend_dockerfile::{BuildOptions, SourceText};
    use oci::Platform;

    use super::*;

    fn input(text: &str, argument: Option<&str>) -> BuildInput {
        let mut options = BuildOptions::new(Platform::host());
        if let Some(argument) = argument {
            options
                .build_args
                .insert(SYNTAX_ARG.into(), argument.into());
        }
        BuildInput {
            source: SourceText::new("Dockerfile", text.to_owned()),
            dockerignore: None,
            options,
        }
    }

    #[test]
    fn frontends_that_are_ours() {
        for (text, argument, expected) in [
            ("FROM a\n", None, None),
            ("# syntax=docker/dockerfile:1\n", None, None),
            ("# syntax = docker/dockerfile:1.7-labs\n", None, None),
            ("# syntax=docker/dockerfile-upstream:master\n", None, None),
            (
                "# syntax=mirror.example/hub/docker/dockerfile:1 --x\n",
                None,
                None,
            ),
            ("// syntax=docker/dockerfile\n", None, None),
            (
                "# syntax=other/dockerfile:1\n",
                None,
                Some("other/dockerfile:1"),
            ),
            (
                "# syntax=notdocker/dockerfile\n",
                None,
                Some("notdocker/dockerfile"),
            ),
            ("# syntax=NOT AN IMAGE\n", None, Some("NOT")),
            ("# syntax=other/x\n", Some("docker/dockerfile:1"), None),
            ("FROM a\n", Some("other/x --opt"), Some("other/x")),
        ] {
            let found = foreign(&input(text, argument));
            assert_eq!(found.as_deref(), expected, "{text}{argument:?}");
        }
    }

    #[test]
    fn strict_refuses_what_is_not_there() {
        let input = input("# syntax=other/x\nFROM a\n", None);
        assert!(check(&input, false).is_ok());
        assert!(check(&input, true).is_err());
    }
}
