// SPDX-License-Identifier: Apache-2.0
//! `kiln run`: try an image.

use std::io::{self, IsTerminal};
use std::path::Path;

use builder::{Builder, ContainerRequest, Volume};
use oci::{Image, Platform, Reference};
use registry::client::{Platforms, Progress, PullOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::build::{enter, open};
use super::build_result::EMULATORS;
use super::pull;
use crate::args::build::NetworkArg;
use crate::args::run::{PullPolicy, RunArgs};
use crate::environment::Environment;
use crate::progress::transfer::{self, Screen};
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// Signals that the program gets instead of us. Spec: POSIX numbers, the same on every Linux.
const FORWARDED: [i32; 6] = [1, 2, 3, 10, 12, 15];

/// Runs a program and returns its exit code.
pub(crate) fn run(args: &RunArgs, session: &Session) -> Result<u8, Failure> {
    if args.tty && !io::stdin().is_terminal() {
        return Err(Failure::usage("the input device is not a terminal").hint("leave out -t"));
    }
    let env = env(args, &session.environment)?;
    let platform = pull::platform(args.platform.as_ref(), &session.environment)?;
    // Before anything starts a thread.
    let runtime = enter(session)?;
    let builder = open(session, Some(runtime))?;
    if !args.publish.is_empty() {
        report::remark(
            "note: programs use the network of this machine, so every port is published\n",
        );
    }
    let code = session::block_on_program(async {
        let (reference, image) = find(&builder, args, &platform).await?;
        let request = ContainerRequest {
            reference,
            image,
            entrypoint: args
                .entrypoint
                .as_ref()
                .map(|program| vec![program.clone()]),
            args: args.args.clone(),
            env,
            volumes: args.volume.iter().map(volume).collect::<Result<_, _>>()?,
            working_dir: args.workdir.clone(),
            user: args.user.clone(),
            hostname: args.hostname.clone(),
            no_network: args.network == NetworkArg::None,
            extra_hosts: args.add_host.clone(),
            read_only: args.read_only,
            terminal: args.tty,
            host_ca: session
                .settings
                .host_ca(args.host_ca.as_ref(), &session.environment)?,
            memory_bytes: None,
            pids_max: None,
        };
        let signals = forwarded()?;
        let ended = builder
            .run_container(&request, signals, &Progress::none())
            .await;
        ended.map_err(|error| {
            let code = u8::try_from(error.exit_code()).unwrap_or(125);
            let failure = Failure::from_error(Exit::Program(code), &error);
            match error {
                builder::ContainerError::NoEmulation(_) => failure.hint(EMULATORS),
                error => failure.with_known_hints(&error),
            }
        })
    })?;
    Ok(u8::try_from(code).unwrap_or(255))
}

/// Returns the image, pulled if it is not here or always if asked for.
async fn find(
    builder: &Builder,
    args: &RunArgs,
    platform: &Platform,
) -> Result<(Reference, Image), Failure> {
    let layout = builder.layout();
    let named: Option<Reference> = args.image.parse().ok();
    let found = match args.pull {
        PullPolicy::Always => None,
        PullPolicy::Missing | PullPolicy::Never => layout.find(&args.image).ok(),
    };
    let descriptor = match (found, &named) {
        (Some(entry), _) => entry.descriptor,
        (None, Some(reference)) if args.pull != PullPolicy::Never => {
            report::remark(&format!(
                "Unable to find image '{}' locally\n",
                reference.familiar()
            ));
            let options = PullOptions {
                platforms: Platforms::One(platform.clone()),
                // Standard output belongs to the program.
                progress: transfer::progress(transfer::PULL, Screen::Stderr),
            };
            builder
                .client()
                .pull(reference, layout, &options)
                .await?
                .descriptor
        }
        (None, _) => layout.find(&args.image)?.descriptor,
    };
    let image = Image::read(layout, &descriptor, platform)?;
    let reference = match named {
        Some(reference) => reference,
        // Found by ID: the name only matters for layers that must be fetched.
        None => "localhost/unnamed".parse()?,
    };
    Ok((reference, image))
}

fn volume(arg: &crate::args::run::VolumeArg) -> Result<Volume, Failure> {
    let source = std::fs::canonicalize(&arg.source).map_err(|error| {
        let message = format!("cannot use volume {}", arg.source.display());
        Failure::new(Exit::Program(125), message).because(Some(&error))
    })?;
    Ok(Volume {
        source,
        target: arg.target.display().to_string(),
        read_only: arg.readonly,
    })
}

/// Returns the variables of `--env-file` and `--env`, in this order.
fn env(args: &RunArgs, environment: &Environment) -> Result<Vec<(String, String)>, Failure> {
    let from_here = |name: &str| environment.raw(name)?.to_str().map(str::to_owned);
    let mut env = Vec::new();
    for path in &args.env_file {
        for line in env_lines(path)? {
            match line.split_once('=') {
                Some((name, value)) => env.push((name.to_owned(), value.to_owned())),
                None => env.extend(from_here(&line).map(|value| (line.clone(), value))),
            }
        }
    }
    for (name, value) in &args.env {
        let value = value.clone().or_else(|| from_here(name));
        env.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(env)
}

fn env_lines(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read {}", path.display());
        Failure::usage(message).because(Some(&error))
    })?;
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Catches signals, to hand them on. Stopping and starting is left to the terminal.
fn forwarded() -> Result<mpsc::UnboundedReceiver<i32>, Failure> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for number in FORWARDED {
        let mut stream = signal(SignalKind::from_raw(number)).map_err(|error| {
            Failure::new(Exit::Failed, "cannot handle signals").because(Some(&error))
        })?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(number).is_ok() {}
        });
    }
    Ok(receiver)
}
