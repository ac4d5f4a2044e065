// SPDX-License-Identifier: Apache-2.0
//! Programs that keep credentials: `docker-credential-NAME get|store|erase`.
//!
//! Docs: docker-credential-helpers README, §Development.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Credentials, Secret, TOKEN_USER};

/// How long a helper may take: some ask a person.
const HELPER_TIMEOUT: Duration = Duration::from_mins(2);
/// What helpers say when they know nothing, which is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The longest complaint of a helper that is shown, in characters.
const COMPLAINT_MAX_CHARS: usize = 300;

/// Why a helper gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// It does not start.
    #[error("cannot run it")]
    Start(#[source] io::Error),
    /// It ended with an error.
    #[error("it said: {0}")]
    Failed(String),
    /// It took too long.
    #[error("it did not end within {} seconds", HELPER_TIMEOUT.as_secs())]
    TimedOut,
    /// It wrote something else than credentials.
    #[error("it gave no valid answer")]
    BadAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    username: &'a str,
    secret: &'a str,
}

/// Asks for the credentials of `server`; anonymous if the helper has none.
pub(super) async fn get(program: &Path, server: &str) -> Result<Credentials, HelperError> {
    let output = match run(program, "get", server.as_bytes()).await {
        Ok(output) => output,
        Err(HelperError::Failed(text)) if text.contains(NOT_FOUND) => {
            return Ok(Credentials::Anonymous);
        }
        Err(error) => return Err(error),
    };
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| HelperError::BadAnswer)?;
    if answer.secret.is_empty() {
        return Ok(Credentials::Anonymous);
    }
    let secret = Secret::new(answer.secret);
    Ok(match answer.username.as_str() {
        TOKEN_USER => Credentials::IdentityToken(secret),
        _ => Credentials::Password {
            username: answer.username,
            password: secret,
        },
    })
}

/// Gives credentials to the helper to keep.
pub(super) async fn store(
    program: &Path,
    server: &str,
    username: &str,
    secret: &Secret,
) -> Result<(), HelperError> {
    let question = Question {
        server,
        username,
        secret: secret.reveal(),
    };
    let input = serde_json::to_vec(&question).expect("three texts serialize");
    run(program, "store", &input).await.map(|_| ())
}

/// Tells the helper to forget.
pub(super) async fn erase(program: &Path, server: &str) -> Result<(), HelperError> {
    run(program, "erase", server.as_bytes()).await.map(|_| ())
}

async fn run(program: &Path, verb: &str, input: &[u8]) -> Result<Vec<u8>, HelperError> {
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(HelperError::Start)?;
    let mut stdin = child.stdin.take();
    let exchange = async {
        if let Some(pipe) = &mut stdin {
            // A helper that ends without reading is judged by its exit status.
            pipe.write_all(input).await.ok();
        }
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_TIMEOUT, exchange)
        .await
        .map_err(|_| HelperError::TimedOut)?
        .map_err(HelperError::Start)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // By the protocol complaints go to standard output; some helpers use the other. After a
    // failure neither holds a secret.
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both);
    let printable = text.trim().chars().filter(|c| !c.is_control());
    let complaint = printable.take(COMPLAINT_MAX_CHARS).collect();
    Err(HelperError::Failed(complaint))
}
