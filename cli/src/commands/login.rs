// SPDX-License-Identifier: Apache-2.0
//! `kiln login` and `kiln logout`.

use std::io::{self, BufRead, IsTerminal, Read};

use registry::client::{Credentials, Secret};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::args::registry::{LoginArgs, LogoutArgs};
use crate::report::{self, Failure};
use crate::session::{self, Session};

/// The longest password, in bytes. Tokens of clouds have some kilobytes.
const PASSWORD_MAX_BYTES: u64 = 64 << 10;

/// Checks and keeps credentials.
pub(crate) fn sign_in(args: &LoginArgs, session: &Session) -> Result<(), Failure> {
    let host = host(args.host.as_deref());
    if args.password.is_some() {
        report::remark(
            "warning: a password on the command line is seen by everybody on this machine; use --password-stdin\n",
        );
    }
    let username = match &args.username {
        Some(name) => name.clone(),
        None => prompt("Username: ", true)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => read_stdin()?,
        None => prompt("Password: ", false)?,
    };
    if username.is_empty() || password.is_empty() {
        return Err(Failure::usage("user and password must not be empty"));
    }
    let credentials = Credentials::Password {
        username,
        password: Secret::new(password),
    };
    let client = session.client()?;
    session::block_on_droppable(async {
        client.login(&host, &credentials).await?;
        report::print("Login Succeeded\n")
    })
}

/// Forgets credentials.
pub(crate) fn sign_out(args: &LogoutArgs, session: &Session) -> Result<(), Failure> {
    let host = host(args.host.as_deref());
    let client = session.client()?;
    session::block_on_droppable(async {
        let line = if client.logout(&host).await? {
            format!("Removing login credentials for {host}\n")
        } else {
            format!("Not logged in to {host}\n")
        };
        report::print(&line)
    })
}

/// Returns the registry's host as references name it.
fn host(given: Option<&str>) -> String {
    let given = given.unwrap_or("docker.io");
    let bare = given
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" | "" => "docker.io".into(),
        host => host.into(),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::usage("cannot read from stdin").because(Some(error))
}

/// Reads the password; the line end that `echo` adds is no part of it.
pub(super) fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let mut input = io::stdin().lock().take(PASSWORD_MAX_BYTES);
    input
        .read_to_string(&mut text)
        .map_err(|error| unreadable(&error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on the terminal; without `echo` nothing of the answer is shown.
pub(super) fn prompt(question: &str, echo: bool) -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("user and password cannot be asked for: stdin is no terminal")
                .hint("use --username NAME --password-stdin"),
        );
    }
    report::remark(question);
    let saved = tcgetattr(&stdin).map_err(|error| unreadable(&error.into()))?;
    if !echo {
        let mut silent = saved.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)
            .map_err(|error| unreadable(&error.into()))?;
    }
    let mut line = String::new();
    let read = stdin.lock().take(PASSWORD_MAX_BYTES).read_line(&mut line);
    if !echo {
        tcsetattr(&stdin, OptionalActions::Flush, &saved)
            .map_err(|error| unreadable(&error.into()))?;
        report::remark("\n");
    }
    read.map_err(|error| unreadable(&error))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_references() {
        for (given, expected) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("localhost:5000"), "localhost:5000"),
            (Some("https://registry.example/v2/"), "registry.example"),
        ] {
            assert_eq!(host(given), expected, "{given:?}");
        }
    }
}
