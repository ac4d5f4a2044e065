// SPDX-License-Identifier: Apache-2.0
//! From `--ssh` to the agents that steps may sign with.

use std::collections::BTreeSet;
use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use builder::{KeyProblem, SshAgent, SshAgents, SshKeys};

use crate::args::ssh::SshArg;
use crate::environment::Environment;
use crate::report::{Exit, Failure};

/// Where the environment says that the user's agent listens.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// Finds the agents, and reads the keys of those that are files. Nothing is asked of an agent yet.
pub(super) fn agents(args: &[SshArg], environment: &Environment) -> Result<SshAgents, Failure> {
    let mut agents = SshAgents::default();
    let mut ids = BTreeSet::new();
    for arg in args {
        if !ids.insert(&arg.id) {
            let message = format!("--ssh {} is given twice", arg.id);
            return Err(Failure::usage(message));
        }
        agents.insert(arg.id.clone(), agent(arg, environment)?);
    }
    Ok(agents)
}

fn agent(arg: &SshArg, environment: &Environment) -> Result<SshAgent, Failure> {
    let input = |message: String| Failure::new(Exit::Input, format!("ssh {}: {message}", arg.id));
    let paths = if arg.paths.is_empty() {
        let socket = environment.text(AGENT_VARIABLE).ok_or_else(|| {
            input(format!("{AGENT_VARIABLE} is not set"))
                .hint("start an agent: `eval $(ssh-agent)`, then `ssh-add`")
                .hint(format!("or give a key file: `--ssh {}=PATH`", arg.id))
        })?;
        vec![PathBuf::from(socket)]
    } else {
        arg.paths.clone()
    };
    let unreadable = |path: &Path, error: &io::Error| {
        input(format!("cannot read {}", path.display())).because(Some(error))
    };
    let mut sockets = Vec::new();
    let mut files = Vec::new();
    for path in &paths {
        let kind: FileType = std::fs::metadata(path)
            .map_err(|error| unreadable(path, &error))?
            .file_type();
        if kind.is_socket() {
            sockets.push(std::path::absolute(path).map_err(|error| unreadable(path, &error))?);
        } else {
            files.push(read(path).map_err(|error| unreadable(path, &error))?);
        }
    }
    match (sockets.len(), files.len()) {
        (1, 0) => Ok(SshAgent::Socket(sockets.remove(0))),
        (0, _) => SshKeys::read(&files)
            .map(SshAgent::Keys)
            .map_err(|(at, problem)| {
                let path = paths[at].display();
                let failure = input(format!("cannot use {path}: {problem}"));
                match problem {
                    KeyProblem::Encrypted => failure.hint(format!(
                        "add it to an agent, `ssh-add {path}`, and give `--ssh {}`",
                        arg.id
                    )),
                    _ => failure,
                }
            }),
        _ => Err(input("give one socket, or key files".into())),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = SshKeys::FILE_MAX_BYTES as u64;
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_agent_is_an_input_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "no key").unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let environment = Environment::of(&[(AGENT_VARIABLE, socket.to_str().unwrap())]);
        let all = |texts: &[&str], environment: &Environment| {
            let args: Vec<SshArg> = texts.iter().map(|text| text.parse().unwrap()).collect();
            agents(&args, environment).map(drop)
        };
        let (file, socket) = (file.display(), socket.display());
        assert_eq!(all(&["default"], &environment), Ok(()));
        assert_eq!(
            all(&[&format!("a={socket}")], &Environment::default()),
            Ok(())
        );
        for texts in [
            vec!["default".to_owned()],
            vec!["a=/nowhere/at/all".to_owned()],
            vec![format!("a={file}")],
            vec![format!("a={socket},{file}")],
            vec![format!("a={socket},{socket}")],
        ] {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let failure = all(&texts, &Environment::default()).unwrap_err();
            assert_eq!(failure.exit(), Exit::Input, "{texts:?}");
        }
        let twice = all(&["a", "a"], &environment).unwrap_err();
        assert_eq!(twice.exit(), Exit::Usage);
    }
}
