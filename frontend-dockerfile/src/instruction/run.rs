// SPDX-License-Identifier: Apache-2.0
//! RUN, CMD, ENTRYPOINT and SHELL: command lines.

use super::Request;
use super::device::{self, Device};
use super::mount::{self, MountSpec};
use crate::diagnostic::Diagnostic;
use crate::flags::{FlagKind, Flags};
use crate::span::Word;
use crate::suggest;

pub(super) const FLAGS: [(&str, FlagKind); 4] = [
    ("mount", FlagKind::List),
    ("network", FlagKind::Text),
    ("security", FlagKind::Text),
    ("device", FlagKind::List),
];

const NETWORKS: [(&str, Network); 3] = [
    ("default", Network::Default),
    ("none", Network::None),
    ("host", Network::Host),
];

const SECURITIES: [(&str, bool); 2] = [("sandbox", false), ("insecure", true)];

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// JSON form: program and arguments.
    Exec(Vec<Word>),
    /// Shell form: a line for the shell in force.
    Shell(Word),
}

/// What RUN says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// Mounts, options as written.
    pub mounts: Vec<MountSpec>,
    /// The network of the step.
    pub network: Network,
    /// Whether the step asks for all privileges.
    pub insecure: bool,
    /// Devices of the host.
    pub devices: Vec<Device>,
}

/// The network that a RUN asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// What the build uses.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Run, Diagnostic> {
    let flags = request.flags(&FLAGS);
    let command = command(request)?;
    let mut mounts = Vec::new();
    for word in flags.list("mount") {
        match mount::parse(&word) {
            Ok(mount) => mounts.push(mount),
            Err(problem) => request.problems.push(problem),
        }
    }
    let mut devices = Vec::new();
    for word in flags.list("device") {
        match device::parse(&word) {
            Ok(device) => devices.push(device),
            Err(problem) => request.problems.push(problem),
        }
    }
    let network = mode(&flags, "network", &NETWORKS, request.problems);
    let insecure = mode(&flags, "security", &SECURITIES, request.problems);
    Ok(Run {
        command,
        mounts,
        network,
        insecure,
        devices,
    })
}

/// Parses CMD and ENTRYPOINT.
pub(super) fn parse_command(request: &mut Request<'_, '_>) -> Result<CommandLine, Diagnostic> {
    request.flags(&[]);
    command(request)
}

pub(super) fn parse_shell(request: &mut Request<'_, '_>) -> Result<Vec<Word>, Diagnostic> {
    request.flags(&[]);
    if request.arguments.is_empty() {
        return Err(request.missing("at least one argument"));
    }
    match request.json(request.arguments)? {
        Some(words) if words.is_empty() => Err(request.missing("at least one argument")),
        Some(words) => Ok(words),
        None => Err(Diagnostic::error(
            request.arguments.span(),
            "SHELL requires the arguments to be in JSON form",
        )
        .help("write e.g. `SHELL [\"/bin/bash\", \"-c\"]`")),
    }
}

fn command(request: &Request<'_, '_>) -> Result<CommandLine, Diagnostic> {
    Ok(match request.json(request.arguments)? {
        Some(words) => CommandLine::Exec(words),
        None => CommandLine::Shell(request.arguments.word()),
    })
}

/// Returns the value of a flag that knows few words; none is the first of them.
fn mode<T: Copy + Default>(
    flags: &Flags,
    name: &str,
    known: &[(&str, T)],
    problems: &mut Vec<Diagnostic>,
) -> T {
    let Some(word) = flags.list(name).pop() else {
        return T::default();
    };
    if let Some((_, value)) = known.iter().find(|(text, _)| *text == word.text) {
        return *value;
    }
    let message = format!("`--{name}` cannot be `{}`", word.text);
    let names: Vec<&str> = known.iter().map(|(text, _)| *text).collect();
    let hint = suggest::hint(&word.text, names.iter().copied());
    let all = || format!("it takes {}", names.join(", "));
    problems.push(Diagnostic::error(word.span, message).help(hint.unwrap_or_else(all)));
    T::default()
}
