// SPDX-License-Identifier: Apache-2.0
//! What to do when nothing came from a git repository.

use builder::GitError;

use super::{Exit, Failure};

/// Returns the exit code for an error of git.
pub(crate) fn exit(error: &GitError) -> Exit {
    use GitError as E;
    match error {
        E::NotFound { .. }
        | E::Denied { .. }
        | E::Unreachable(_)
        | E::HostKey(_)
        | E::Certificate(_)
        | E::Stalled(_)
        | E::TooLong
        | E::Failed { .. } => Exit::Network,
        E::Mirror(_) | E::Write(_) => Exit::Store,
        E::NotInstalled | E::Run(_) | E::Answer(_) | E::Cancelled => Exit::Failed,
        _ => Exit::Input,
    }
}

/// Adds what to do about an error of git.
pub(crate) fn with_hints(failure: Failure, error: &GitError) -> Failure {
    use GitError as E;
    match error {
        E::NotInstalled => failure.hint("install it: Debian and others have it in the package git"),
        E::NotFound { secret: Some(id) } | E::Denied { secret: Some(id) } => {
            let all = id.split('.').next().unwrap_or(id);
            failure.hint(format!(
                "give a token: --secret id={id},env=NAME (id={all} for all hosts)"
            ))
        }
        E::NoAgent | E::Denied { secret: None } => {
            failure.hint("give an agent that has a key for it: --ssh default")
        }
        E::HostKey(_) => failure.hint(
            "somebody may be in between; if the host really has a new key, remove the old one from \
             git/known_hosts in the state directory",
        ),
        E::Certificate(_) => failure.hint("name the certificates to trust: --host-ca=PATH"),
        E::NoReference { similar, .. } if !similar.is_empty() => {
            failure.hint(format!("it has {}", similar.join(", ")))
        }
        E::NoReference { reference, .. } if is_part_of_commit(reference) => {
            failure.hint("servers only know whole commit ids: write all 40 digits")
        }
        E::Empty => failure.hint("is it empty?"),
        _ => failure,
    }
}

fn is_part_of_commit(text: &str) -> bool {
    (4..40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_what_would_help() {
        let hint =
            |error: GitError| with_hints(Failure::new(exit(&error), "x"), &error).render(false);
        let id = "GIT_AUTH_TOKEN.h.example:8443";
        let denied = hint(GitError::Denied {
            secret: Some(id.into()),
        });
        assert!(
            denied.contains("id=GIT_AUTH_TOKEN.h.example:8443,env=NAME"),
            "{denied}"
        );
        assert!(
            denied.contains("(id=GIT_AUTH_TOKEN for all hosts)"),
            "{denied}"
        );
        assert!(hint(GitError::NoAgent).contains("--ssh default"));
        assert!(hint(GitError::NotInstalled).contains("package git"));
        let unknown = |reference: &str, similar: &[&str]| GitError::NoReference {
            reference: reference.into(),
            similar: similar.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(hint(unknown("mian", &["main"])).contains("it has main"));
        assert!(hint(unknown("abc1234", &[])).contains("40 digits"));
        assert!(!hint(unknown("nope", &[])).contains("hint"));
    }
}
