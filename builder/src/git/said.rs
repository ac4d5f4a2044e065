// SPDX-License-Identifier: Apache-2.0
//! What git says to people: shown as it comes, and read for the reason when it fails.
//!
//! git has one exit code for everything, so that its texts have to be read; their language is fixed
//! (`LC_ALL=C`). A text that is not known is passed on.

use super::GitError;
use super::command::Log;
use super::source::GitSource;

/// How much of what git said an error can look at, in bytes.
const TAIL_MAX_BYTES: usize = 16 << 10;

/// Standard error as lines: what a later `\r` overwrites is progress, and not kept.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) pending: Vec<u8>,
    tail: String,
}

impl Lines {
    /// Passes whole lines on.
    pub(super) fn flush(&mut self, log: &Log<'_>) {
        let Some(end) = self
            .pending
            .iter()
            .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        else {
            // No line is this long: it is not text.
            if self.pending.len() > TAIL_MAX_BYTES {
                self.pending.clear();
            }
            return;
        };
        let rest = self.pending.split_off(end + 1);
        let whole = std::mem::replace(&mut self.pending, rest);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let Some(kept) = line.strip_suffix(b"\n") else {
                continue;
            };
            let kept = kept.strip_suffix(b"\r").unwrap_or(kept);
            let shown = kept.rsplit(|byte| *byte == b'\r').next().unwrap_or(kept);
            self.keep(shown, log);
        }
    }

    fn keep(&mut self, line: &[u8], log: &Log<'_>) {
        // Servers have a say in it: nothing that terminals obey.
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .filter(|c| *c == '\t' || !c.is_control())
            .collect();
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        log(format!("{text}\n").as_bytes());
        self.tail.push_str(text);
        self.tail.push('\n');
        if self.tail.len() > 2 * TAIL_MAX_BYTES {
            let cut = self
                .tail
                .ceil_char_boundary(self.tail.len() - TAIL_MAX_BYTES);
            self.tail.drain(..cut);
        }
    }

    pub(super) fn finish(mut self, log: &Log<'_>) -> String {
        let rest = std::mem::take(&mut self.pending);
        self.keep(&rest, log);
        self.tail
    }
}

/// Turns what git said into an error that says what to do. git has no codes, only texts; its
/// language is fixed (`LC_ALL=C`).
pub(super) fn failure(source: &GitSource, command: &str, said: &str) -> GitError {
    let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let secret = source.wanted_secret();
    if has(&[
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "Host key verification failed",
    ]) {
        return GitError::HostKey(source.remote.host.clone());
    }
    if has(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "Permission denied (",
        "The requested URL returned error: 401",
        "The requested URL returned error: 403",
    ]) {
        return GitError::Denied { secret };
    }
    if has(&[
        "Repository not found",
        "repository not found",
        "does not appear to be a git repository",
        "access denied or repository not exported",
        "The requested URL returned error: 404",
    ]) || (said.contains("repository '") && said.contains("' not found"))
    {
        return GitError::NotFound { secret };
    }
    if has(&["certificate verification failed", "SSL certificate problem"]) {
        return GitError::Certificate(source.remote.host.clone());
    }
    if let Some(protocol) = refused_protocol(said) {
        return GitError::Protocol(protocol.to_owned());
    }
    let message = fatal_lines(said);
    if has(&[
        "Could not resolve host",
        "Failed to connect",
        "Couldn't connect",
        "unable to look up",
        "Connection refused",
        "Connection timed out",
        "Network is unreachable",
        "No route to host",
        "unable to connect",
    ]) {
        return GitError::Unreachable(message);
    }
    GitError::Failed {
        command: command.to_owned(),
        message,
    }
}

/// Returns the protocol that `GIT_ALLOW_PROTOCOL` has kept git from.
fn refused_protocol(said: &str) -> Option<&str> {
    let refused = said.split("transport '").nth(1)?;
    let (protocol, rest) = refused.split_once('\'')?;
    rest.starts_with(" not allowed").then_some(protocol)
}

/// Returns the lines of what git said that tell why it failed, each once.
fn fatal_lines(said: &str) -> String {
    let is_reason = |line: &&str| {
        ["fatal: ", "error: ", "remote: ", "ssh: "]
            .iter()
            .any(|prefix| line.starts_with(prefix))
    };
    let mut reasons: Vec<&str> = Vec::new();
    for line in said.lines().filter(is_reason) {
        if !reasons.contains(&line) {
            reasons.push(line);
        }
    }
    if reasons.is_empty() {
        reasons.extend(said.lines().last());
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_passed_on_once_it_is_over() {
        let shown = std::sync::Mutex::new(String::new());
        let log = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            shown.lock().unwrap().push_str(&text);
        };
        let mut lines = Lines::default();
        for piece in [
            "Cloning\nRecei",
            "ving: 10%\rReceiving: 50%\r",
            "Receiving: done\r\n",
            "fatal: \x1b[31mx",
        ] {
            lines.pending.extend_from_slice(piece.as_bytes());
            lines.flush(&log);
        }
        let tail = lines.finish(&log);
        assert_eq!(tail, "Cloning\nReceiving: done\nfatal: [31mx\n");
        assert_eq!(*shown.lock().unwrap(), tail);
    }

    #[test]
    fn what_git_said_is_shortened_to_the_reasons() {
        let said = "Cloning\nfatal: a\nhint: b\nfatal: a\nerror: c\n";
        assert_eq!(fatal_lines(said), "fatal: a; error: c");
        assert_eq!(fatal_lines("nothing\nof use\n"), "of use");
        let refused = "fatal: transport 'ext' not allowed\n";
        assert_eq!(refused_protocol(refused), Some("ext"));
        assert_eq!(refused_protocol("fatal: transport 'x' died"), None);
    }

    #[test]
    fn errors_name_their_kind() {
        let op = graph::SourceOp {
            identifier: "git://h/a.git".into(),
            attrs: std::collections::BTreeMap::new(),
        };
        let source = GitSource::new(&op).unwrap();
        for (said, expected) in [
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                "Denied",
            ),
            ("git@h: Permission denied (publickey).", "Denied"),
            (
                "fatal: unable to access 'x': The requested URL returned error: 403",
                "Denied",
            ),
            ("fatal: repository 'https://h/a.git/' not found", "NotFound"),
            (
                "fatal: remote error: access denied or repository not exported: /a",
                "NotFound",
            ),
            ("Host key verification failed.", "HostKey"),
            (
                "fatal: unable to access 'x': Could not resolve host: h",
                "Unreachable",
            ),
            (
                "fatal: unable to access 'x': SSL certificate problem: unable to get issuer",
                "Certificate",
            ),
            ("fatal: transport 'file' not allowed", "Protocol"),
            ("fatal: something else", "Failed"),
        ] {
            let error = format!("{:?}", failure(&source, "fetch", said));
            assert!(error.starts_with(expected), "{said}: {error}");
        }
    }
}
