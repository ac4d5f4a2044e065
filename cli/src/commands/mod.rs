// SPDX-License-Identifier: Apache-2.0
//! A file per command: arguments in, calls of the libraries, words out.

mod build;
mod build_input;
mod build_output;
mod build_result;
mod call;
mod check;
mod explain;
mod fmt;
mod frontend;
mod history;
mod image_list;
mod images;
mod import;
mod inspect;
mod lint;
mod load;
mod login;
mod offline;
mod print;
mod prune;
mod pull;
mod push;
mod registry_access;
mod registry_config;
mod registry_fsck;
mod registry_gc;
mod registry_htpasswd;
mod registry_import;
mod registry_scrub;
mod registry_settings;
mod registry_state;
mod registry_told;
mod rmi;
mod rule_page;
mod run;
mod save;
mod serve;
mod ssh_agents;
mod tag;

pub(crate) use build_result::{frontend_failure, source_failure};
#[cfg(test)]
pub(crate) use offline::Offline;

use crate::args::registry::{ConfigCommand, RegistryCommand};
use crate::args::system::SystemCommand;
use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::report::{self, Failure};
use crate::session::Session;

/// Runs a command and returns what the shell gets.
pub(crate) fn run(cli: Cli, environment: Environment) -> Result<u8, Failure> {
    let mut command = cli.command;
    while let Command::Image(inner) = command {
        command = inner.into_command();
    }
    if matches!(command, Command::Version) {
        let text = concat!("kiln version ", env!("CARGO_PKG_VERSION"), "\n");
        return report::print(text).map(|()| 0);
    }
    if let Command::Fmt(args) = &command {
        return fmt::run(args).map(|()| 0);
    }
    let session = Session::new(environment, &cli.global)?;
    if cli.global.debug {
        report::remark(&session.describe());
    }
    match command {
        Command::Build(args) => build::run(&args, &session),
        Command::Lint(args) => lint::run(&args, &session),
        Command::Run(args) => return run::run(&args, &session),
        Command::Pull(args) => pull::run(&args, &session),
        Command::Push(args) => push::run(&args, &session),
        Command::Tag(args) => tag::run(&args, &session),
        Command::Images(args) => images::run(&args, &session),
        Command::Rmi(args) => rmi::run(&args, &session),
        Command::Inspect(args) => inspect::run(&args, &session),
        Command::History(args) => history::run(&args, &session),
        Command::Save(args) => save::run(&args, &session),
        Command::Load(args) => load::run(&args, &session),
        Command::Import(args) => import::run(&args, &session),
        Command::Login(args) => login::sign_in(&args, &session),
        Command::Logout(args) => login::sign_out(&args, &session),
        Command::Registry(RegistryCommand::Serve(args)) => serve::run(&args, &session),
        Command::Registry(RegistryCommand::Gc(args)) => registry_gc::run(&args, &session),
        Command::Registry(RegistryCommand::Htpasswd(args)) => registry_htpasswd::run(&args),
        Command::Registry(RegistryCommand::Config(ConfigCommand::Check(args))) => {
            registry_config::run(&args, &session)
        }
        Command::Registry(RegistryCommand::Scrub(args)) => registry_scrub::run(&args, &session),
        Command::Registry(RegistryCommand::Fsck(args)) => registry_fsck::run(&args, &session),
        Command::Registry(RegistryCommand::Import(args)) => registry_import::run(&args, &session),
        Command::System(SystemCommand::Prune(args)) | Command::Prune(args) => {
            prune::run(&args, &session)
        }
        Command::System(SystemCommand::Df) => prune::usage(&session),
        Command::Fmt(_) | Command::Image(_) | Command::Version => Ok(()),
    }?;
    Ok(0)
}
