// SPDX-License-Identifier: Apache-2.0
//! Keeps secrets out of the output of steps, before it is logged or shown: values become `***`.
//!
//! Output comes in pieces, so that a value may be cut in two: the unfinished line of each stream is
//! held back while it could still become one.

use crate::progress::Stream;
use crate::secret::Secrets;

/// Values shorter than this are not replaced: they would be found everywhere.
const VALUE_MIN_BYTES: usize = 4;
/// The most bytes of an unfinished line that are held back.
const HELD_MAX_BYTES: usize = 64 << 10;
const REPLACEMENT: &[u8] = b"***";

/// What stands in place of credentials in an address.
const CREDENTIALS: &str = "xxxxx";

/// Returns `text` with the credentials in its addresses replaced: all of `user:password@`, and of
/// http addresses also a user alone, which is often a token. Titles of steps quote instructions.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c));
        let (authority, next) = after.split_at(end.unwrap_or(after.len()));
        match authority.rsplit_once('@') {
            Some((user, host))
                if user.contains(':')
                    || before.ends_with("http://")
                    || before.ends_with("https://") =>
            {
                shown.extend([CREDENTIALS, "@", host]);
            }
            _ => shown.push_str(authority),
        }
        rest = next;
    }
    shown.push_str(rest);
    shown
}

/// Replaces secrets in the output of one step.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Lines of all values, longest first.
    values: Vec<Vec<u8>>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Redactor {
    /// Returns a redactor of these secrets. Of a value with several lines each line counts.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut values: Vec<Vec<u8>> = secrets
            .values()
            .flat_map(|value| value.split(|byte| *byte == b'\n'))
            .map(|line| line.trim_ascii().to_vec())
            .filter(|line| line.len() >= VALUE_MIN_BYTES)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self {
            values,
            ..Self::default()
        }
    }

    /// Takes the next bytes of a stream; returns what may be seen now, perhaps nothing.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        if self.values.is_empty() {
            return bytes.to_vec();
        }
        let held = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        held.extend_from_slice(bytes);
        let line_end = held.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let end = match line_end {
            Some(at) => at + 1,
            None if held.len() > HELD_MAX_BYTES => held.len(),
            None => return Vec::new(),
        };
        let rest = held.split_off(end);
        let ready = std::mem::replace(held, rest);
        self.redacted(ready)
    }

    /// Returns what is still held back of a stream; its end.
    pub(crate) fn finish(&mut self, stream: Stream) -> Vec<u8> {
        let held = match stream {
            Stream::Stdout => std::mem::take(&mut self.stdout),
            Stream::Stderr => std::mem::take(&mut self.stderr),
        };
        self.redacted(held)
    }

    fn redacted(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for value in &self.values {
            bytes = replaced(&bytes, value);
        }
        bytes
    }
}

fn replaced(bytes: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(value) {
            out.extend_from_slice(REPLACEMENT);
            at += value.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_even_in_pieces() {
        let mut secrets = Secrets::default();
        secrets.insert("a".into(), b"hunter2hunter2\nsecond line\n".to_vec());
        secrets.insert("b".into(), b"ab".to_vec());
        let mut redactor = Redactor::new(&secrets);
        assert_eq!(redactor.push(Stream::Stdout, b"token hunt"), b"");
        assert_eq!(
            redactor.push(Stream::Stdout, b"er2hunter2 ab\nmore"),
            b"token *** ab\n"
        );
        assert_eq!(redactor.push(Stream::Stdout, b" second line"), b"");
        assert_eq!(redactor.push(Stream::Stderr, b"hunter2hunter2\n"), b"***\n");
        assert_eq!(redactor.finish(Stream::Stdout), b"more ***");
    }

    #[test]
    fn without_secrets_nothing_is_held_back() {
        let mut redactor = Redactor::new(&Secrets::default());
        assert_eq!(redactor.push(Stream::Stdout, b"part"), b"part");
    }

    #[test]
    fn credentials_in_addresses_are_replaced() {
        for (text, shown) in [
            (
                "ADD https://user:pass@h/a https://tok@h /x",
                "ADD https://xxxxx@h/a https://xxxxx@h /x",
            ),
            ("ssh://git@h/a", "ssh://git@h/a"),
            ("ssh://git:pw@h/a", "ssh://xxxxx@h/a"),
            ("http://h/a@b", "http://h/a@b"),
            ("git@h:a and a://", "git@h:a and a://"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
