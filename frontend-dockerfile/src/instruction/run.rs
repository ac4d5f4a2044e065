// SPDX-License-Identifier: Apache-2.0
//! RUN, CMD, ENTRYPOINT and SHELL: command lines.

use super::mount::MountSpec;
use super::{Request, mount};
use crate::diagnostic::Diagnostic;
use crate::flags::{FlagKind, Flags};
use crate::span::Word;
use crate::suggest;

const FLAGS: [(&str, FlagKind); 4] = [
    ("mount", FlagKind::List),
    ("network", FlagKind::Text),
    ("security", FlagKind::Text),
    ("device", FlagKind::List),
];

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

/// A device of the host, in the names of the Container Device Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `vendor/class=device` or `vendor/class`.
    pub name: Word,
    /// Whether the step fails without it.
    pub required: bool,
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Run, Diagnostic> {
    let flags = request.flags(&FLAGS);
    let command = command(request)?;
    if matches!(&command, CommandLine::Shell(line) if line.text.is_empty()) {
        return Err(request.missing("a command"));
    }
    let mut mounts = Vec::new();
    for word in flags.list("mount") {
        match mount::parse(&word) {
            Ok(mount) => mounts.push(mount),
            Err(problem) => request.problems.push(problem),
        }
    }
    let mut devices = Vec::new();
    for word in flags.list("device") {
        match device(&word) {
            Ok(device) => devices.push(device),
            Err(problem) => request.problems.push(problem),
        }
    }
    Ok(Run {
        command,
        mounts,
        network: network(&flags)?,
        insecure: insecure(&flags)?,
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
        .help("write `SHELL [\"/bin/bash\", \"-c\"]`")),
    }
}

fn command(request: &Request<'_, '_>) -> Result<CommandLine, Diagnostic> {
    Ok(match request.json(request.arguments)? {
        Some(words) => CommandLine::Exec(words),
        None => CommandLine::Shell(request.arguments.word()),
    })
}

fn network(flags: &Flags) -> Result<Network, Diagnostic> {
    let Some(word) = flags.text("network") else {
        return Ok(Network::Default);
    };
    match word.text.as_str() {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(Diagnostic::error(
            word.span,
            format!("network mode `{other}` is not supported"),
        )
        .maybe_help(suggest::hint(other, ["default", "none", "host"]))),
    }
}

fn insecure(flags: &Flags) -> Result<bool, Diagnostic> {
    let Some(word) = flags.text("security") else {
        return Ok(false);
    };
    match word.text.as_str() {
        "sandbox" => Ok(false),
        "insecure" => Ok(true),
        other => Err(Diagnostic::error(
            word.span,
            format!("security mode `{other}` is not supported"),
        )
        .maybe_help(suggest::hint(other, ["sandbox", "insecure"]))),
    }
}

/// Parses `name[,required[=bool]]` or `name=…,required=…`.
fn device(word: &Word) -> Result<Device, Diagnostic> {
    let mut name = None;
    let mut required = false;
    for (index, field) in word.text.split(',').enumerate() {
        match field.split_once('=') {
            Some(("name", value)) => name = Some(value),
            Some(("required", value)) => {
                required = mount::parse_bool(value).ok_or_else(|| {
                    Diagnostic::error(word.span, format!("invalid value `{value}` for `required`"))
                })?;
            }
            None if field == "required" => required = true,
            // A bare name may itself contain `=`: `vendor/class=device`.
            _ if index == 0 => name = Some(field),
            _ => {
                let message = format!("unexpected field `{field}` in `--device`");
                return Err(
                    Diagnostic::error(word.span, message).help("known fields: name, required")
                );
            }
        }
    }
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Device {
            name: Word::new(name, word.span),
            required,
        }),
        None => Err(Diagnostic::error(word.span, "a device needs a name")),
    }
}
