// SPDX-License-Identifier: Apache-2.0
//! Lines of a step's output, made safe to print.
//!
//! A step may write anything: sequences that move the cursor, change the title or answer as if the
//! user typed. Only colours survive, and only where asked for.
//!
//! Spec: ECMA-48 §5.4 (CSI), §8.3.89 (OSC and the other strings).

/// Returns the visible text of one line without its end. What stands before a carriage return was
/// overwritten on a terminal and is left out; `colors` keeps SGR sequences.
pub(super) fn line(bytes: &[u8], colors: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let visible = text
        .rsplit('\r')
        .find(|part| !part.is_empty())
        .unwrap_or("");
    strip(visible, colors)
}

fn strip(text: &str, colors: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut colored = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => {
                let after = rest.as_str();
                let length = sequence_len(after);
                let sequence = &after[..length];
                if colors && is_color(sequence) {
                    out.push('\x1b');
                    out.push_str(sequence);
                    colored = true;
                }
                rest = after[length..].chars();
            }
            '\u{9b}' => {
                let after = rest.as_str();
                rest = after[csi_len(after)..].chars();
            }
            '\t' => out.push('\t'),
            '\x08' => drop(out.pop()),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    if colored {
        out.push_str("\x1b[0m");
    }
    out
}

/// Returns how many bytes after an escape belong to its sequence.
fn sequence_len(after: &str) -> usize {
    let Some(first) = after.chars().next() else {
        return 0;
    };
    match first {
        '[' => 1 + csi_len(&after[1..]),
        // Strings: they end with BEL or ESC \.
        ']' | 'P' | 'X' | '^' | '_' => {
            let end = after.find(['\x07', '\x1b']);
            match end {
                None => after.len(),
                Some(at) if after[at..].starts_with("\x1b\\") => at + 2,
                Some(at) if after[at..].starts_with('\x07') => at + 1,
                Some(at) => at,
            }
        }
        // One or more intermediate characters, then a final one.
        ' '..='/' => {
            let end = after.find(|c: char| !(' '..='/').contains(&c));
            end.map_or(after.len(), |at| {
                at + after[at..].chars().next().map_or(0, char::len_utf8)
            })
        }
        '0'..='~' => 1,
        _ => 0,
    }
}

/// Returns the length of parameters and final character of a control sequence.
fn csi_len(after: &str) -> usize {
    let end = after.find(|c: char| !(' '..='?').contains(&c));
    match end {
        None => after.len(),
        Some(at) if after[at..].starts_with(|c: char| ('@'..='~').contains(&c)) => at + 1,
        Some(at) => at,
    }
}

fn is_color(sequence: &str) -> bool {
    sequence
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix('m'))
        .is_some_and(|parameters| {
            parameters
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_terminal_survives() {
        for (rule, bytes, plain, colored) in [
            ("text", &b"a b\n"[..], "a b", "a b"),
            (
                "colours",
                b"\x1b[1;31mred\x1b[0m",
                "red",
                "\x1b[1;31mred\x1b[0m\x1b[0m",
            ),
            ("cursor", b"a\x1b[2Ab\x1b[Hc", "abc", "abc"),
            ("title", b"\x1b]0;pwn\x07x", "x", "x"),
            ("title with ST", b"\x1b]0;pwn\x1b\\x", "x", "x"),
            ("unfinished title", b"a\x1b]0;pwn", "a", "a"),
            ("device control", b"\x1bP$q\x1b\\x", "x", "x"),
            ("answerback", b"\x05\x1b[6nx", "x", "x"),
            ("C1 introducer", "a\u{9b}31mb".as_bytes(), "ab", "ab"),
            ("charset", b"\x1b(0x", "x", "x"),
            ("reset", b"\x1bcx", "x", "x"),
            ("overwritten", b"10%\r50%\r100%\r\n", "100%", "100%"),
            ("backspace", b"ab\x08c", "ac", "ac"),
            ("tab", b"a\tb", "a\tb", "a\tb"),
            ("not text", b"a\xffb", "a\u{fffd}b", "a\u{fffd}b"),
            ("lone escape", b"a\x1b", "a", "a"),
            (
                "escape before a wide letter",
                "\x1bäx".as_bytes(),
                "äx",
                "äx",
            ),
        ] {
            assert_eq!(line(bytes, false), plain, "{rule}");
            assert_eq!(line(bytes, true), colored, "{rule}, colours kept");
        }
    }
}
