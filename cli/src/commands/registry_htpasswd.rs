// SPDX-License-Identifier: Apache-2.0
//! `kiln registry htpasswd`.

use std::io::{self, IsTerminal as _};

use registry::server::auth::hash_line;

use super::login::{prompt, read_stdin};
use crate::args::registry::HtpasswdArgs;
use crate::report::{self, Exit, Failure};

/// Prints the line of a user for the registry's file of users.
pub(crate) fn run(args: &HtpasswdArgs) -> Result<(), Failure> {
    let password = if io::stdin().is_terminal() {
        let first = prompt("Password: ", false)?;
        if prompt("Again: ", false)? != first {
            return Err(Failure::usage("the two passwords differ"));
        }
        first
    } else {
        read_stdin()?
    };
    let line = hash_line(&args.user, &password, args.bcrypt)
        .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    report::print(&format!("{line}\n"))
}
