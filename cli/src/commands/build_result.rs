// SPDX-License-Identifier: Apache-2.0
//! What the user gets of a build: files with digests, or a report on what failed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use builder::{BuildError, BuildOutcome, FailedStep, StepError};
use frontend_dockerfile::{Diagnostic, DockerfileError, Report, SourceText};
use graph::SourceRange;
use serde_json::{Value, json};

use super::build_output::image_name;
use crate::args::build::BuildArgs;
use crate::progress::Progress;
use crate::report::{Exit, Failure, advice, git, step};

/// Said where programs for another processor do not run.
pub(super) const EMULATORS: &str =
    "install emulators: Debian has them in qemu-user-static and binfmt-support";

/// Writes `--iidfile` and `--metadata-file`.
pub(super) fn write_files(outcome: &BuildOutcome, args: &BuildArgs) -> Result<(), Failure> {
    if let (Some(path), Some(digest)) = (&args.result.iidfile, &outcome.config_digest) {
        write(path, &digest.to_string())?;
    }
    if let Some(path) = &args.result.metadata_file {
        write(path, &metadata(outcome, &image_name(args)))?;
    }
    Ok(())
}

/// Docs: the keys of buildx's `--metadata-file`, sorted as it sorts them.
fn metadata(outcome: &BuildOutcome, name: &str) -> String {
    let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
    if let Some(digest) = &outcome.config_digest {
        fields.insert("containerimage.config.digest", json!(digest));
    }
    if let Some(descriptor) = &outcome.descriptor {
        fields.insert("containerimage.descriptor", json!(descriptor));
        fields.insert("containerimage.digest", json!(descriptor.digest));
    }
    if !name.is_empty() {
        fields.insert("image.name", json!(name));
    }
    serde_json::to_string_pretty(&fields).expect("it holds only JSON values") + "\n"
}

/// Replaces a file: whoever reads it sees the old or the new text.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| {
        let message = format!("cannot write {}", path.display());
        Failure::new(Exit::Failed, message).because(Some(&error))
    };
    if path.exists() && !path.is_file() {
        return std::fs::write(path, text).map_err(failed);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file =
        tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Returns the report on a build that failed.
pub(super) fn failure(error: &BuildError<DockerfileError>, shown: &Progress) -> Failure {
    let exit = match error {
        BuildError::Lower(error) => return frontend_failure(error),
        BuildError::Step(failed) => return step_failure(failed, shown),
        BuildError::Cancelled | BuildError::HostCa(_) | BuildError::Export(_) => Exit::Failed,
        BuildError::Push { .. } => Exit::Network,
        BuildError::PushWithoutTag => Exit::Usage,
        _ => Exit::Store,
    };
    let failure = Failure::from_error(exit, error).with_known_hints(error);
    match error {
        BuildError::Push { reference, source } => match source {
            registry::client::PushError::Denied(..) => {
                let host = reference.repository().host();
                failure.hint(format!("sign in first: `kiln login {host}`"))
            }
            _ => failure.hint(format!(
                "the image is stored: `kiln push {}` sends it again",
                reference.familiar()
            )),
        },
        _ => failure,
    }
}

/// Returns the report on a Dockerfile that has no plan.
pub(crate) fn frontend_failure(error: &DockerfileError) -> Failure {
    match error {
        DockerfileError::Invalid(invalid) => Failure::silent(Exit::Input).body(invalid.report()),
        DockerfileError::UnknownTarget { hint, .. } => {
            let failure = Failure::from_error(Exit::Input, error);
            match hint {
                Some(hint) => failure.hint(hint.clone()),
                None => failure,
            }
        }
        DockerfileError::Violations(_) => Failure::from_error(Exit::Input, error)
            .hint("these are errors because of `check=error=true`"),
        DockerfileError::BaseImage {
            source,
            excerpt,
            hint,
            ..
        } => {
            let failure = Failure::from_error(Exit::Network, error).with_known_hints(error);
            let failure = failure.body(excerpt.clone());
            match (&**source, hint) {
                (_, Some(hint)) => failure.hint(hint.clone()),
                (graph::ResolveError::NotFound { reference, .. }, None) => failure.hint(format!(
                    "is the name right? A base image can also be made of a tar file: `kiln import FILE {}`",
                    reference.familiar()
                )),
                _ => failure,
            }
        }
        DockerfileError::EpochSource(_) => Failure::from_error(Exit::Network, error),
        DockerfileError::Ignore { excerpt, .. } => {
            Failure::from_error(Exit::Input, error).body(excerpt.clone())
        }
        _ => Failure::from_error(Exit::Input, error),
    }
}

/// Returns the report on problems of a file.
pub(super) fn problems(source: &SourceText, problems: &[Diagnostic]) -> Failure {
    Failure::silent(Exit::Input).body(Report::new(source, problems).to_string())
}

/// Returns the report on a source that could not be fetched before the build.
pub(crate) fn source_failure(error: &StepError) -> Failure {
    Failure::from_error(exit(error), error).with_known_hints(error)
}

fn step_failure(failed: &FailedStep, shown: &Progress) -> Failure {
    let mut body = shown.with_record(crate::progress::record::Record::failure);
    if body.is_empty()
        && let Some(location) = &failed.location
    {
        body = step::excerpt(location);
    }
    if let StepError::SourceNotFound {
        ignored: Some(ignored),
        ..
    } = &failed.error
    {
        let line = u32::try_from(ignored.line).unwrap_or(u32::MAX);
        body.push_str(&step::excerpt(&SourceRange {
            file: Arc::clone(&ignored.file),
            start_line: line,
            end_line: line,
        }));
    }
    let failure = Failure::from_error(exit(&failed.error), failed).body(body);
    let failure = failure.with_known_hints(&failed.error);
    let failure = match &failed.error {
        StepError::SourceNotFound {
            path,
            ignored: Some(ignored),
            ..
        } => failure.hint(format!(
            "let it in: add `!{}` below `{}`",
            path.trim_start_matches('/'),
            ignored.pattern
        )),
        StepError::SourceNotFound {
            similar: Some(similar),
            ..
        } => failure.hint(format!("did you mean `{similar}`?")),
        StepError::NotAllowed(what) => failure.hint(format!("allow it: --allow {what}")),
        StepError::Device(builder::DeviceError::NotAllowed(name)) => {
            failure.hint(format!("allow it: --allow device={name}, or --allow device for all"))
        }
        StepError::NoEmulation { .. } => failure
            .hint(EMULATORS)
            .hint("or build on this machine's platform: `FROM --platform=$BUILDPLATFORM`, then COPY --from"),
        StepError::SecretMissing(id) => failure.hint(format!("give it: --secret id={id},src=FILE")),
        StepError::ContextMissing(name) => {
            failure.hint(format!("give it: --build-context {name}=DIRECTORY"))
        }
        StepError::Git { source, .. } => git::with_hints(failure, source),
        _ => failure,
    };
    let failure = match advice::step(&failed.error) {
        Some(advice) => failure.hint(advice),
        None => failure,
    };
    match &failed.log {
        Some(path) => failure.hint(format!("the whole output is in {}", path.display())),
        None => failure,
    }
}

/// Returns the exit code for a step that failed: 1 only if its own process did.
fn exit(error: &StepError) -> Exit {
    match error {
        StepError::NotAllowed(_) | StepError::Device(builder::DeviceError::NotAllowed(_)) => {
            Exit::Usage
        }
        StepError::SourceNotFound { .. }
        | StepError::ContextMissing(_)
        | StepError::SecretMissing(_)
        | StepError::SshMissing(_)
        | StepError::Device(_)
        | StepError::BadHostAddress { .. }
        | StepError::Unsupported(_)
        | StepError::BadSource(_) => Exit::Input,
        StepError::Image { .. } | StepError::Http { .. } => Exit::Network,
        StepError::Git { source, .. } => git::exit(source),
        StepError::Record(_)
        | StepError::Snapshot(_)
        | StepError::CacheMount { .. }
        | StepError::Write { .. }
        | StepError::Log { .. } => Exit::Store,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_the_keys_of_buildx() {
        let digest = oci::sha256(b"m");
        let descriptor = oci::Descriptor::new(oci::MediaType::OciManifest, digest, 1);
        let outcome = BuildOutcome {
            descriptor: Some(descriptor),
            config_digest: Some(oci::sha256(b"c")),
        };
        let text = metadata(&outcome, "docker.io/library/a:latest");
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "containerimage.config.digest",
                "containerimage.descriptor",
                "containerimage.digest",
                "image.name"
            ]
        );
        assert_eq!(value["containerimage.descriptor"]["size"], 1);
        let nothing = BuildOutcome {
            descriptor: None,
            config_digest: None,
        };
        assert_eq!(metadata(&nothing, ""), "{}\n");
    }

    #[test]
    fn a_bad_dockerfile_is_reported_with_its_excerpt_alone() {
        let source = SourceText::new("Dockerfile", "FROM a\n");
        let problem = Diagnostic::error(frontend_dockerfile::span::Span::new(0, 4), "no");
        let failure = problems(&source, &[problem]);
        assert_eq!(failure.exit(), Exit::Input);
        assert!(
            failure.render(false).starts_with("error: no\n"),
            "{}",
            failure.render(false)
        );
    }
}
