// SPDX-License-Identifier: Apache-2.0
//! The text of joint 1: what `--print ast` shows and golden files hold.
//!
//! One line per instruction: its first and last line in the file, its keyword, what it says. Only
//! what was given is printed. The form is stable: a change of it is a change of every golden file.

use std::fmt;

use crate::instruction::{
    Argument, CommandLine, From, Healthcheck, Instruction, Kind, MountSpec, Network, Pair, Run,
    Transfer,
};
use crate::parse::Dockerfile;
use crate::span::{SourceText, Word};

/// A parsed file with its text, ready to print.
#[derive(Clone, Copy, Debug)]
pub struct AstText<'a> {
    dockerfile: &'a Dockerfile,
    source: &'a SourceText,
}

impl Dockerfile {
    /// Returns the printable form; `source` must be the text that was parsed.
    pub fn to_text<'a>(&'a self, source: &'a SourceText) -> AstText<'a> {
        AstText {
            dockerfile: self,
            source,
        }
    }
}

impl fmt::Display for AstText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directives = &self.dockerfile.directives;
        let named = [
            ("syntax", &directives.syntax),
            ("escape", &directives.escape),
            ("check", &directives.check),
        ];
        for (name, directive) in named {
            if let Some(directive) = directive {
                writeln!(f, "directive {name} {:?}", directive.value.text)?;
            }
        }
        for instruction in &self.dockerfile.global_args {
            self.instruction(f, "", instruction)?;
        }
        for stage in &self.dockerfile.stages {
            self.instruction(f, "", &stage.instruction)?;
            for instruction in &stage.instructions {
                self.instruction(f, "  ", instruction)?;
            }
        }
        for warning in &self.dockerfile.warnings {
            let position = self.source.position(warning.span.start);
            let rule = warning.rule.unwrap_or_default();
            writeln!(f, "warning {position} {rule}: {}", warning.message)?;
        }
        Ok(())
    }
}

impl AstText<'_> {
    fn instruction(
        &self,
        f: &mut fmt::Formatter<'_>,
        indent: &str,
        instruction: &Instruction,
    ) -> fmt::Result {
        for comment in &instruction.comments {
            writeln!(f, "{indent}# {}", comment.text)?;
        }
        let start = self.source.position(instruction.span.start).line;
        let last = instruction
            .span
            .end
            .saturating_sub(1)
            .max(instruction.span.start);
        let end = self.source.position(last).line;
        write!(f, "{indent}{start}-{end} {}", instruction.kind.keyword())?;
        kind(f, &instruction.kind)?;
        writeln!(f)?;
        for heredoc in &instruction.heredocs {
            let expand = if heredoc.expand { "" } else { " literal" };
            let tabs = if heredoc.strip_tabs {
                " tabs stripped"
            } else {
                ""
            };
            writeln!(
                f,
                "{indent}  <<{}{expand}{tabs} {:?}",
                heredoc.name, heredoc.body
            )?;
        }
        Ok(())
    }
}

/// What an instruction says, without its keyword and its place.
pub(crate) struct KindText<'a>(pub(crate) &'a Kind);

impl fmt::Display for KindText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        kind(f, self.0)
    }
}

fn kind(f: &mut fmt::Formatter<'_>, kind: &Kind) -> fmt::Result {
    match kind {
        Kind::Add(transfer) | Kind::Copy(transfer) => self::transfer(f, transfer),
        Kind::Arg(arguments) => arguments.iter().try_for_each(|one| argument(f, one)),
        Kind::Cmd(line) | Kind::Entrypoint(line) => command(f, line),
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().try_for_each(|one| pair(f, one)),
        Kind::Expose(words) | Kind::Volume(words) | Kind::Shell(words) => list(f, words),
        Kind::From(from) => self::from(f, from),
        Kind::Healthcheck(check) => health(f, check),
        Kind::Onbuild(onbuild) => write!(f, " {:?}", onbuild.expression),
        Kind::Run(run) => self::run(f, run),
        Kind::Maintainer(word)
        | Kind::Stopsignal(word)
        | Kind::User(word)
        | Kind::Workdir(word) => {
            write!(f, " {:?}", word.text)
        }
    }
}

fn option(f: &mut fmt::Formatter<'_>, name: &str, word: Option<&Word>) -> fmt::Result {
    match word {
        Some(word) => write!(f, " --{name}={:?}", word.text),
        None => Ok(()),
    }
}

fn list(f: &mut fmt::Formatter<'_>, words: &[Word]) -> fmt::Result {
    words
        .iter()
        .try_for_each(|word| write!(f, " {:?}", word.text))
}

fn from(f: &mut fmt::Formatter<'_>, from: &From) -> fmt::Result {
    option(f, "platform", from.platform.as_ref())?;
    write!(f, " {:?}", from.base.text)?;
    match &from.name {
        Some(name) => write!(f, " as {:?}", name.text),
        None => Ok(()),
    }
}

fn pair(f: &mut fmt::Formatter<'_>, pair: &Pair) -> fmt::Result {
    let legacy = if pair.legacy { " legacy" } else { "" };
    write!(f, "{legacy} {:?}={:?}", pair.key.text, pair.value.text)
}

fn argument(f: &mut fmt::Formatter<'_>, argument: &Argument) -> fmt::Result {
    write!(f, " {:?}", argument.key.text)?;
    match &argument.default {
        Some(default) => write!(f, "={:?}", default.text),
        None => Ok(()),
    }
}

fn command(f: &mut fmt::Formatter<'_>, line: &CommandLine) -> fmt::Result {
    match line {
        CommandLine::Exec(words) => {
            write!(f, " exec")?;
            list(f, words)
        }
        CommandLine::Shell(line) => write!(f, " shell {:?}", line.text),
    }
}

fn health(f: &mut fmt::Formatter<'_>, check: &Healthcheck) -> fmt::Result {
    for (name, value) in [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
        ("retries", check.retries),
    ] {
        if value != 0 {
            write!(f, " --{name}={value}")?;
        }
    }
    check
        .test_words()
        .iter()
        .try_for_each(|word| write!(f, " {word:?}"))
}

fn run(f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
    run.mounts.iter().try_for_each(|one| mount(f, one))?;
    match run.network {
        Network::Default => {}
        Network::None => write!(f, " --network=none")?,
        Network::Host => write!(f, " --network=host")?,
    }
    if run.insecure {
        write!(f, " --security=insecure")?;
    }
    for device in &run.devices {
        let required = if device.required { ",required" } else { "" };
        write!(f, " --device={:?}{required}", device.name.text)?;
    }
    command(f, &run.command)
}

fn mount(f: &mut fmt::Formatter<'_>, mount: &MountSpec) -> fmt::Result {
    write!(f, " --mount={{")?;
    for (index, option) in mount.options.iter().enumerate() {
        let blank = if index > 0 { " " } else { "" };
        write!(f, "{blank}{}", option.key)?;
        if let Some(value) = &option.value {
            write!(f, "={value:?}")?;
        }
    }
    write!(f, "}}")
}

fn transfer(f: &mut fmt::Formatter<'_>, transfer: &Transfer) -> fmt::Result {
    option(f, "from", transfer.from.as_ref())?;
    option(f, "chown", transfer.chown.as_ref())?;
    option(f, "chmod", transfer.chmod.as_ref())?;
    option(f, "checksum", transfer.checksum.as_ref())?;
    for exclude in &transfer.excludes {
        option(f, "exclude", Some(exclude))?;
    }
    for (name, given) in [
        ("link", transfer.link.then_some(true)),
        ("parents", transfer.parents.then_some(true)),
        ("keep-git-dir", transfer.keep_git_dir),
        ("unpack", transfer.unpack),
    ] {
        if let Some(given) = given {
            write!(f, " --{name}={given}")?;
        }
    }
    list(f, &transfer.sources)?;
    for inline in &transfer.inline {
        write!(f, " <<{}", inline.name.text)?;
    }
    write!(f, " -> {:?}", transfer.destination.text)
}
