// SPDX-License-Identifier: Apache-2.0
//! From the flags of `kiln build` to where its result goes, and what cannot be done about it.

use std::io::{self, IsTerminal};

use builder::{Compression, Destination, Output};
use oci::Reference;

use crate::args::build::BuildArgs;
use crate::report::Failure;

/// Refuses what cannot be done, before anything starts.
pub(super) fn check(args: &BuildArgs) -> Result<(), Failure> {
    let mut problems = args.unsupported.problems();
    let outputs = outputs(args)?;
    if to_stdout(args) && io::stdout().is_terminal() {
        problems.push("an archive is not written to a terminal: name a file with dest=PATH".into());
    }
    let has_image = outputs.iter().any(makes_image);
    if args.result.iidfile.is_some() && !has_image {
        problems.push("--iidfile needs an output that is an image".into());
    }
    let pushes = outputs
        .iter()
        .any(|output| matches!(output, Output::Image { push: true }));
    if pushes && tags(args).is_empty() {
        problems.push("a pushed image needs a name: give one with --tag".into());
    }
    match problems.as_slice() {
        [] => Ok(()),
        [first, rest @ ..] => {
            let failure = Failure::usage(first.clone());
            Err(rest
                .iter()
                .fold(failure, |failure, next| failure.also(next)))
        }
    }
}

/// Tells whether the result goes to standard output.
pub(super) fn to_stdout(args: &BuildArgs) -> bool {
    args.result.output.iter().any(|arg| match &arg.output {
        Output::Oci { destination, .. }
        | Output::Docker { destination }
        | Output::Tar { destination } => *destination == Destination::Stdout,
        Output::Image { .. } | Output::Local { .. } | Output::CacheOnly => false,
    })
}

/// Returns where the result goes.
///
/// Docs: buildx: `--push` and `--load` stand for outputs, and make `type=image` push.
pub(super) fn outputs(args: &BuildArgs) -> Result<Vec<Output>, Failure> {
    let mut outputs: Vec<Output> = args
        .result
        .output
        .iter()
        .map(|arg| arg.output.clone())
        .collect();
    let has_image = outputs
        .iter()
        .any(|output| matches!(output, Output::Image { .. }));
    if args.result.push && !outputs.is_empty() && !has_image {
        return Err(Failure::usage(
            "--push goes with an output of type=image only",
        ));
    }
    if outputs.is_empty() || (args.result.load && !has_image) {
        outputs.push(Output::Image { push: false });
    }
    if args.result.push {
        for output in &mut outputs {
            if let Output::Image { push } = output {
                *push = true;
            }
        }
    }
    Ok(outputs)
}

fn makes_image(output: &Output) -> bool {
    match output {
        Output::Image { .. } | Output::Oci { .. } | Output::Docker { .. } => true,
        Output::Local { .. } | Output::Tar { .. } | Output::CacheOnly => false,
    }
}

/// Returns the names that the image gets, in order.
pub(super) fn tags(args: &BuildArgs) -> Vec<Reference> {
    let named = args.result.output.iter().flat_map(|output| &output.names);
    let mut tags: Vec<Reference> = Vec::new();
    for tag in args.result.tag.iter().chain(named) {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// Returns the names that the image gets, with commas between them. Docs: buildx `image.name`.
pub(super) fn image_name(args: &BuildArgs) -> String {
    tags(args)
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Returns the one compression that all outputs have.
pub(super) fn compression(args: &BuildArgs) -> Result<Compression, Failure> {
    let mut given = args
        .result
        .output
        .iter()
        .filter_map(|output| output.compression);
    let first = given.next().unwrap_or_default();
    if given.any(|other| other != first) {
        return Err(Failure::usage(
            "outputs with different compressions are not supported yet",
        ));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::report::Exit;

    fn parsed(words: &[&str]) -> BuildArgs {
        let words = ["kiln", "build"].iter().chain(words).chain(&["."]);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Build(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn push_and_load_stand_for_outputs() {
        for (words, expected) in [
            (&[][..], vec![Output::Image { push: false }]),
            (&["--push"], vec![Output::Image { push: true }]),
            (
                &["-o", "type=image", "--push"],
                vec![Output::Image { push: true }],
            ),
            (
                &["-o", "out"],
                vec![Output::Local {
                    directory: "out".into(),
                }],
            ),
            (
                &["-o", "out", "--load"],
                vec![
                    Output::Local {
                        directory: "out".into(),
                    },
                    Output::Image { push: false },
                ],
            ),
        ] {
            assert_eq!(outputs(&parsed(words)), Ok(expected), "{words:?}");
        }
        assert!(outputs(&parsed(&["-o", "out", "--push"])).is_err());
    }

    #[test]
    fn what_cannot_be_done_is_told_at_once() {
        for (words, message) in [
            (&["--push"][..], "needs a name"),
            (&["-o", "out", "--iidfile", "x"], "--iidfile"),
            (&["--squash"], "--squash"),
            (&["--provenance=true"], "--provenance"),
            (&["--cache-from", "x"], "--cache-from"),
        ] {
            let failure = check(&parsed(words)).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(
                failure.render(false).contains(message),
                "{words:?}: {failure:?}"
            );
        }
        assert_eq!(
            check(&parsed(&[
                "--provenance=false",
                "--sbom=false",
                "--load",
                "-t",
                "a"
            ])),
            Ok(())
        );
    }
}
