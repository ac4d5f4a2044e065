// SPDX-License-Identifier: Apache-2.0
//! `kiln build`.

use std::cell::OnceCell;
use std::sync::Arc;

use super::build_input;
use super::check::CheckedFrontend;
use super::{build_output, build_result, call, check, explain, frontend, print};
use crate::args::build::{BuildArgs, Joint};
use crate::args::call::Call;
use crate::context::{self, Fetcher};
use crate::progress::{self, Progress};
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};
use builder::{BuildOutcome, Builder, BuilderOptions, EnterOptions, Runtime};

/// Builds, stores and hands out.
pub(crate) fn run(args: &BuildArgs, session: &Session) -> Result<(), Failure> {
    build_output::check(args)?;
    for remark in args.unsupported.remarks() {
        report::remark(&format!("note: {remark}\n"));
    }
    let kind = progress::kind(
        args.result.progress,
        args.result.quiet,
        &session.environment,
    )?;
    // Before anything starts a thread.
    let runtime = enter(session)?;
    let builder = open(session, Some(runtime))?;
    let started = OnceCell::new();
    let start = || {
        Arc::clone(started.get_or_init(|| Arc::new(Progress::start(kind, &session.environment))))
    };
    let fetcher = Fetcher {
        builder: &builder,
        options: build_input::so_far(args, session)?,
        access: build_input::access(args, session)?,
        sink: &|| start(),
    };
    let scratch = session.root().join("tmp");
    let file = args.input.file.as_deref();
    let source = context::open(&args.context, file, &scratch, &fetcher)?;
    let request = build_input::prepare(args, session, &source)?;
    frontend::check(&request.input, args.input.frontend_strict)?;
    let asked = args.question.call();
    if asked.call == Call::Targets {
        return call::targets(&request.input.source, asked.format);
    }
    match asked.call {
        Call::Check => return check::run(&builder, &request, asked),
        Call::Outline => return call::outline(&builder, &request, asked.format),
        Call::Build | Call::Targets => {}
    }
    if args.question.explain {
        return explain::run(&builder, &request, session);
    }
    let joint = args.question.joint();
    if let Some(joint @ (Joint::Ast | Joint::Graph | Joint::Llb | Joint::Keys)) = joint {
        return print::before(joint, &builder, &request);
    }
    let shown = start();
    let result = session::block_on(|cancel| {
        let (sink, shown) = (Arc::clone(&shown), Arc::clone(&shown));
        let frontend = CheckedFrontend { sink: sink.clone() };
        let (builder, request) = (&builder, &request);
        async move {
            let result = builder.build(&frontend, request, sink, cancel).await;
            shown.finish();
            result.map_err(|error| build_result::failure(&error, &shown))
        }
    });
    shown.finish();
    let outcome = result?;
    match (joint, &outcome.descriptor) {
        (Some(joint), Some(image)) => print::after(joint, builder.layout(), image),
        _ => finish(&outcome, args),
    }
}

fn finish(outcome: &BuildOutcome, args: &BuildArgs) -> Result<(), Failure> {
    build_result::write_files(outcome, args)?;
    match &outcome.config_digest {
        // Standard output may hold an archive.
        Some(digest) if args.result.quiet && !build_output::to_stdout(args) => {
            report::print(&format!("{digest}\n"))
        }
        _ => Ok(()),
    }
}

/// Starts the helper process that runs steps. No thread may exist yet.
pub(super) fn enter(session: &Session) -> Result<Runtime, Failure> {
    builder::make_root(session.root())?;
    let options = EnterOptions {
        scratch: session.root().join("run"),
    };
    builder::enter(options).map_err(|error| {
        let failure = Failure::from_error(Exit::Failed, &error).with_known_hints(&error);
        match error {
            builder::EnterError::NoSubordinateIds { user } => failure.hint(format!(
                "give the user a range: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
            )),
            builder::EnterError::MapFailed { program } => {
                failure.hint(format!("is {program} installed? Debian has it in the package uidmap"))
            }
            _ => failure,
        }
    })
}

/// Opens the state directory for building and running.
pub(super) fn open(session: &Session, runtime: Option<Runtime>) -> Result<Builder, Failure> {
    Ok(Builder::open(BuilderOptions {
        root: session.root().to_owned(),
        client: session.client()?,
        runtime,
        git: session.git()?,
    })?)
}
