// SPDX-License-Identifier: Apache-2.0
//! Words and escapes of a case's text: what a shell and a string literal would make of them.

/// Splits a line at spaces; single quotes hold spaces together.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut started, mut quoted) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, started) = (!quoted, true),
            ' ' if !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            c => {
                word.push(c);
                started = true;
            }
        }
    }
    assert!(!quoted, "a quote is not closed: {line}");
    if started {
        words.push(word);
    }
    words
}

/// Joins lines and replaces `\n \r \t \0 \\ \s` (a space) and `\xNN` by the bytes they stand for.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().filter(|byte| *byte != b'\n');
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b's') => b' ',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                let digits = std::str::from_utf8(&digits).expect("two digits follow \\x");
                u8::from_str_radix(digits, 16).expect("two digits follow \\x")
            }
            other => panic!("unknown escape {other:?}"),
        });
    }
    bytes
}

/// Returns `text` on one line: control characters and backslashes escaped.
pub(super) fn on_one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\\' => shown.push_str("\\\\"),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}
