// SPDX-License-Identifier: Apache-2.0
//! What may be done about a step that failed: what the code of its process or the lack of a program
//! most likely means.
//!
//! Docs: POSIX shell, "Exit Status for Commands"; 128 and more is a signal.

use builder::{RunError, StepError};

/// The shell found a file, but it is no program.
const NOT_EXECUTABLE: i32 = 126;
/// The shell found nothing.
const NOT_FOUND: i32 = 127;
/// SIGKILL, which is what the kernel sends when memory runs out.
const KILLED: i32 = 137;

/// Returns the advice for a step that failed, if there is any.
pub(crate) fn step(error: &StepError) -> Option<String> {
    let text = match error {
        StepError::Exit { code, .. } => match *code {
            NOT_EXECUTABLE => {
                "126 means that a file may not be executed: set its mode, e.g. with `COPY --chmod=755`"
            }
            NOT_FOUND => {
                "127 means that a program is missing: install it above, or mind PATH and the interpreter that a script names"
            }
            KILLED => "137 means that the process was killed, most likely because memory ran out",
            _ => return None,
        },
        StepError::Start(RunError::ProgramNotFound { program }) if is_shell(program) => {
            return Some(format!(
                "the image has no {program}: start from one that has, or name the program itself, e.g. `RUN [\"/app\"]`"
            ));
        }
        StepError::Start(RunError::ProgramNotFound { .. }) => {
            "install it in a step above, or copy it from another stage"
        }
        StepError::Start(RunError::UnknownUser { .. }) => {
            "make it in a step above, e.g. with `adduser`, or write USER with a number"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    name.ends_with("sh") && program.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_missing_programs_are_explained() {
        let exit = |code| StepError::Exit {
            command: "x".into(),
            code,
        };
        let missing = |program: &str| {
            StepError::Start(RunError::ProgramNotFound {
                program: program.into(),
            })
        };
        for (error, expected) in [
            (exit(1), None),
            (exit(126), Some("--chmod")),
            (exit(127), Some("PATH")),
            (exit(137), Some("memory")),
            (missing("/bin/bash"), Some("has no /bin/bash")),
            (missing("gcc"), Some("install it")),
            (StepError::Cancelled, None),
        ] {
            let found = step(&error);
            match expected {
                None => assert_eq!(found, None, "{error:?}"),
                Some(text) => assert!(found.is_some_and(|f| f.contains(text)), "{error:?}"),
            }
        }
    }
}
