// SPDX-License-Identifier: Apache-2.0
//! From the flags of `kiln build` to what frontend and builder are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use builder::{BuildRequest, Entitlements, LocalContext, Secrets, SourceAccess, SourcePins};
use frontend_dockerfile::{BuildInput, BuildOptions, NamedContext, NoCache, SourceText};
use graph::{ExtraHost, NetworkMode, ResolveMode, SourceFile, Ulimit};
use oci::Platform;

use super::build_output::{compression, outputs, tags};
use super::pull::default_platforms;
use super::ssh_agents;
use crate::args::allow::Entitlement;
use crate::args::build::{BuildArgs, NetworkArg, StepArgs};
use crate::args::build_context::NamedContextArg;
use crate::args::lint::LintArgs;
use crate::args::secret::{SecretArg, SecretSource};
use crate::args::value::Pair;
use crate::context::{self, BuildSource};
use crate::environment::Environment;
use crate::report::{Exit, Failure};
use crate::session::Session;

/// The name of the main context. `Ours`, with the frontend: BuildKit's name for it.
const MAIN_CONTEXT: &str = "context";
/// The build argument that fixes all times.
const EPOCH_ARG: &str = "SOURCE_DATE_EPOCH";

/// Returns what is known before the Dockerfile is: the build arguments.
pub(super) fn so_far(args: &BuildArgs, session: &Session) -> Result<BuildOptions, Failure> {
    let environment = &session.environment;
    let build_args = build_args(&args.input.build_arg, environment);
    options(args, environment, build_args)
}

/// Returns what fetching may use: secrets are read here, once.
pub(super) fn access(args: &BuildArgs, session: &Session) -> Result<SourceAccess, Failure> {
    Ok(SourceAccess {
        secrets: secrets(&args.steps.secret, &session.environment)?,
        pins: SourcePins::default(),
    })
}

/// Joins flags, environment and files.
pub(super) fn prepare(
    args: &BuildArgs,
    session: &Session,
    source: &BuildSource,
) -> Result<BuildRequest<BuildInput>, Failure> {
    let environment = &session.environment;
    let build_args = build_args(&args.input.build_arg, environment);
    let named = named_contexts(&args.input.build_context)?;
    let epoch = match build_args.get(EPOCH_ARG) {
        Some(text) => text.parse().ok(),
        None => None,
    };
    Ok(BuildRequest {
        contexts: contexts(args, &named, source),
        layouts: layouts(&args.input.build_context),
        input: BuildInput {
            source: source.dockerfile.clone(),
            dockerignore: source.ignore.clone(),
            options: BuildOptions {
                context: source.context.clone(),
                contexts: named,
                ..options(args, environment, build_args)?
            },
        },
        tags: tags(args),
        outputs: outputs(args)?,
        secrets: source.access.secrets.clone(),
        pins: source.access.pins.clone(),
        ssh: ssh_agents::agents(&args.steps.ssh, environment)?,
        host_ca: session
            .settings
            .host_ca(args.steps.host_ca.as_ref(), environment)?,
        source_date_epoch: epoch,
        entitlements: entitlements(&args.steps),
        compression: compression(args)?,
        parallel_max: None,
    })
}

fn options(
    args: &BuildArgs,
    environment: &Environment,
    build_args: BTreeMap<String, String>,
) -> Result<BuildOptions, Failure> {
    let host = Platform::host();
    let mut platforms = args.input.platform.clone();
    if platforms.is_empty() {
        platforms = default_platforms(environment)?;
    }
    let mut seen = BTreeSet::new();
    platforms.retain(|platform| seen.insert(platform.clone()));
    let no_cache = match args.input.no_cache_filter.as_slice() {
        _ if args.input.no_cache => NoCache::All,
        [] => NoCache::No,
        stages => NoCache::Stages(stages.to_vec()),
    };
    let hosts = args.steps.add_host.iter().map(|(host, address)| ExtraHost {
        host: host.clone(),
        ip: address.to_string(),
    });
    let ulimits = args.steps.ulimit.iter().map(|limit| Ulimit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    });
    Ok(BuildOptions {
        target: args.input.target.clone(),
        build_args,
        platforms,
        labels: labels(&args.input.label),
        no_cache,
        resolve_mode: if args.input.pull {
            ResolveMode::Pull
        } else {
            ResolveMode::Default
        },
        add_hosts: hosts.collect(),
        network: match args.steps.network {
            NetworkArg::Default => NetworkMode::Sandbox,
            NetworkArg::None => NetworkMode::None,
            NetworkArg::Host => NetworkMode::Host,
        },
        shm_size_bytes: args
            .steps
            .shm_size
            .map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ulimits: ulimits.collect(),
        cgroup_parent: args.steps.cgroup_parent.clone().unwrap_or_default(),
        ..BuildOptions::new(host)
    })
}

/// Returns what the rules are told about one file. Docs: the platform is always the machine's.
pub(super) fn to_lint(
    args: &LintArgs,
    environment: &Environment,
    source: &BuildSource,
) -> Result<BuildInput, Failure> {
    Ok(BuildInput {
        source: source.dockerfile.clone(),
        dockerignore: source.ignore.clone(),
        options: BuildOptions {
            target: args.target.clone(),
            build_args: build_args(&args.build_arg, environment),
            contexts: named_contexts(&args.build_context)?,
            ..BuildOptions::new(Platform::host())
        },
    })
}

fn labels(pairs: &[Pair]) -> BTreeMap<String, String> {
    let label = |(name, value): &Pair| (name.clone(), value.clone().unwrap_or_default());
    pairs.iter().map(label).collect()
}

/// Returns the build arguments: `NAME=VALUE` as given, `NAME` from the environment if it is there;
/// then the proxies and the epoch of the environment unless they were given.
///
/// `Ours`: buildx takes proxies from docker's config alone; buildah passes those of the environment,
/// which is what users behind a proxy need. They are in neither image nor cache key.
fn build_args(given: &[Pair], environment: &Environment) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (name, value) in environment.proxies() {
        args.insert(name, value);
    }
    if let Some(text) = environment.text(EPOCH_ARG) {
        args.insert(EPOCH_ARG.into(), text.to_owned());
    }
    for (name, value) in given {
        let value = match value {
            Some(value) => Some(value.clone()),
            None => environment
                .raw(name)
                .and_then(|value| value.to_str())
                .map(str::to_owned),
        };
        if let Some(value) = value {
            args.insert(name.clone(), value);
        }
    }
    args
}

/// Names of directories that mean something else to BuildKit. `Observed:` buildx.
const TAKEN_NAMES: [&str; 2] = ["context", "dockerfile"];

/// Finds directories and layouts that `--build-context` names.
fn named_contexts(
    given: &[(String, NamedContextArg)],
) -> Result<BTreeMap<String, NamedContext>, Failure> {
    let mut named = BTreeMap::new();
    for (name, context) in given {
        let found = match context {
            NamedContextArg::Said(context) => context.clone(),
            NamedContextArg::Layout { path, tag, digest } => {
                context::layout_image(name, path, tag, digest.as_ref())?
            }
            NamedContextArg::Directory(directory) => local_context(name, directory)?,
        };
        named.insert(name.clone(), found);
    }
    Ok(named)
}

fn local_context(name: &str, directory: &Path) -> Result<NamedContext, Failure> {
    let failed = |what: &str| {
        let shown = directory.display();
        Failure::new(Exit::Input, format!("build context {name}={shown} {what}"))
    };
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(failed("is not a directory")),
        Err(error) => {
            let failure = failed("cannot be used").because(Some(&error));
            return Err(failure.hint("an image is written docker-image://NAME"));
        }
    }
    let ignore = std::fs::read(directory.join(".dockerignore")).ok();
    let name = if TAKEN_NAMES.contains(&name) {
        format!("_{name}")
    } else {
        name.to_owned()
    };
    Ok(NamedContext::Local {
        name,
        ignore: ignore.and_then(|bytes| SourceText::from_bytes(".dockerignore", bytes).ok()),
    })
}

/// Returns the directories that the build reads in place, by the names that sources have for them.
fn contexts(
    args: &BuildArgs,
    named: &BTreeMap<String, NamedContext>,
    source: &BuildSource,
) -> BTreeMap<String, LocalContext> {
    let mut contexts = BTreeMap::new();
    if let Some(directory) = &source.directory {
        let ignore = source.ignore.as_ref().map(ignore_file);
        let main = LocalContext {
            directory: directory.clone(),
            ignore,
        };
        contexts.insert(MAIN_CONTEXT.to_owned(), main);
    }
    for (name, context) in &args.input.build_context {
        if let (NamedContextArg::Directory(directory), Some(NamedContext::Local { name, ignore })) =
            (context, named.get(name))
        {
            let context = LocalContext {
                directory: directory.clone(),
                ignore: ignore.as_ref().map(ignore_file),
            };
            contexts.insert(name.clone(), context);
        }
    }
    contexts
}

/// Returns the image layouts that `--build-context` names.
pub(super) fn layouts(given: &[(String, NamedContextArg)]) -> BTreeMap<String, PathBuf> {
    given
        .iter()
        .filter_map(|(name, context)| match context {
            NamedContextArg::Layout { path, .. } => Some((name.clone(), path.clone())),
            _ => None,
        })
        .collect()
}

fn ignore_file(file: &SourceText) -> Arc<SourceFile> {
    Arc::new(SourceFile {
        name: file.name().to_owned(),
        text: file.text().to_owned(),
    })
}

fn entitlements(args: &StepArgs) -> Entitlements {
    let mut allowed = Entitlements {
        // Docs: buildx grants network.host itself when `--network=host` asks for it.
        network_host: args.network == NetworkArg::Host,
        ..Entitlements::default()
    };
    for entitlement in args.allow.iter().flat_map(|arg| &arg.0) {
        match entitlement.clone() {
            Entitlement::NetworkHost => allowed.network_host = true,
            Entitlement::SecurityInsecure => allowed.security_insecure = true,
            Entitlement::Devices => allowed.devices.all = true,
            Entitlement::Device { name, alias: None } => allowed.devices.names.push(name),
            Entitlement::Device {
                name,
                alias: Some(alias),
            } => allowed.devices.aliases.push((alias, name)),
        }
    }
    allowed
}

fn secrets(args: &[SecretArg], environment: &Environment) -> Result<Secrets, Failure> {
    let mut secrets = Secrets::default();
    for arg in args {
        secrets.insert(arg.id.clone(), secret(arg, environment)?);
    }
    Ok(secrets)
}

fn secret(arg: &SecretArg, environment: &Environment) -> Result<Vec<u8>, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let variable = |name: &str| environment.raw(name).map(|value| value.as_bytes().to_vec());
    match &arg.source {
        SecretSource::File(path) => secret_file(&arg.id, path),
        SecretSource::Variable(name) => variable(name).ok_or_else(|| {
            let message = format!("secret {}: the environment has no variable {name}", arg.id);
            Failure::new(Exit::Input, message)
        }),
        SecretSource::Either(name) => match variable(name) {
            Some(value) => Ok(value),
            None => secret_file(&arg.id, Path::new(name)),
        },
    }
}

fn secret_file(id: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        let message = format!("secret {id}: cannot read {}", path.display());
        Failure::new(Exit::Input, message).because(Some(&error))
    };
    let mut value = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(Secrets::SIZE_MAX_BYTES as u64 + 1)
        .read_to_end(&mut value)
        .map_err(failed)?;
    if value.len() > Secrets::SIZE_MAX_BYTES {
        let message = format!("secret {id}: larger than {} bytes", Secrets::SIZE_MAX_BYTES);
        return Err(Failure::new(Exit::Input, message));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arguments_come_from_flags_then_the_environment() {
        let environment = Environment::of(&[
            ("A", "env"),
            ("http_proxy", "p"),
            ("SOURCE_DATE_EPOCH", "7"),
        ]);
        let given = [
            ("A".to_owned(), None),
            ("B".to_owned(), Some("flag".to_owned())),
            ("C".to_owned(), None),
        ];
        let found = build_args(&given, &environment);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("A", "env"),
                ("B", "flag"),
                ("SOURCE_DATE_EPOCH", "7"),
                ("http_proxy", "p")
            ]
        );
        let none = [("http_proxy".to_owned(), Some(String::new()))];
        assert_eq!(
            build_args(&none, &environment)["http_proxy"],
            "",
            "a flag can switch it off"
        );
    }

    #[test]
    fn secrets_that_are_not_there_are_input_errors() {
        let environment = Environment::of(&[("TOKEN", "t")]);
        let value = |text: &str| secret(&text.parse().unwrap(), &environment);
        assert_eq!(value("id=TOKEN"), Ok(b"t".to_vec()));
        assert_eq!(value("id=x,env=TOKEN"), Ok(b"t".to_vec()));
        for text in ["id=x,env=NOPE", "id=x,src=/nope", "id=nope"] {
            assert_eq!(value(text).unwrap_err().exit(), Exit::Input, "{text}");
        }
    }
}
